"""The command line as a process of its own, as users start it."""

import os
import socket
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from plasticity_lab.runs.main import main
from plasticity_lab.studies.workers import start_forkserver
from tests.runs import REPOSITORY


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start `python train.py` in the working directory."""
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "train.py"), *arguments],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str, **environment: str) -> str:
    """Run `python train.py` to its end; return what it printed."""
    process = start(*arguments, **environment)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    return output


def start_forked(*arguments: str) -> BaseProcess:
    """Start `train.py` in a process that is forked where imports are done.

    What it prints goes to `rank0.txt`.
    """
    process = start_forkserver().Process(
        target=_rank, args=(arguments, dict(os.environ), Path("rank0.txt").absolute())
    )
    process.start()
    return process


def run_ranks(count: int, *arguments: str, fails: bool = False) -> str:
    """Run `train.py` on ranks that are there, as a cluster starts them; return what rank 0 printed.

    They are forked where imports are done, which take longer than a small run.
    """
    context = start_forkserver()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    outputs = [Path(f"rank{rank}.txt").absolute() for rank in range(count)]
    ranks = []
    for rank, output in enumerate(outputs):
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": str(rank)}
        environment = {**os.environ, **(place if count > 1 else {})}
        ranks.append(context.Process(target=_rank, args=(arguments, environment, output)))
        ranks[-1].start()
    for process in ranks:
        process.join(timeout=300)
    codes = [process.exitcode for process in ranks]  # None of one that hangs
    for process in ranks:
        process.kill()
    printed = [output.read_text() for output in outputs]
    assert codes == [int(fails)] * count, "\n".join(printed)
    return printed[0]


def _rank(arguments: tuple[str, ...], environment: dict[str, str], output: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    main(arguments)


def run_directory(output: str) -> Path:
    """Find the run's directory in what a run printed."""
    return Path(
        next(line for line in output.splitlines() if line.startswith("run directory:")).split(
            maxsplit=2
        )[2]
    )
