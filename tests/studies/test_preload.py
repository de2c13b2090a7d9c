"""What a worker finds that is forked from the process which has built a run once."""

import gc
import os
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from plasticity_lab.project import CODE
from plasticity_lab.runs.parse import command_line
from plasticity_lab.studies.workers import start_forkserver


def report(pipe: Connection) -> None:
    pipe.send(
        {
            "objects left out by the garbage collector": gc.get_freeze_count(),
            "parsers built": command_line.cache_info().currsize,
            "threads": threading.active_count(),
            "torch's threads": torch.get_num_threads(),
            "CUDA initialised": torch.cuda.is_initialized(),  # type: ignore[no-untyped-call]  # of torch
        }
    )


@pytest.mark.slow
def test_a_worker_starts_with_what_is_built_and_nothing_that_no_fork_survives() -> None:
    context: Any = start_forkserver()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=report, args=(writer,))
    process.start()
    found = reader.recv()
    process.join()
    assert found.pop("objects left out by the garbage collector") > 300_000
    assert found == {
        "parsers built": 1,
        "threads": 1,
        "torch's threads": 1,
        "CUDA initialised": False,
    }


@pytest.mark.slow
def test_mpi_is_not_started_where_it_is_installed() -> None:
    """What it looks at initialises CUDA, and no worker could use a GPU."""
    Path("mpi4py").mkdir()
    Path("mpi4py/__init__.py").touch()
    Path("mpi4py/MPI.py").write_text("raise SystemExit('MPI was started')")
    path = os.pathsep.join([str(Path.cwd()), str(CODE)])
    subprocess.run(
        [sys.executable, "-c", "import plasticity_lab.studies.preload"],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
