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
def test_what_initialises_cuda_is_not_called() -> None:
    """Else no worker could use a GPU: autograd's first pass, and MPI's look at the machine."""
    Path("mpi4py").mkdir()
    Path("mpi4py/__init__.py").touch()
    Path("mpi4py/MPI.py").write_text("raise SystemExit('MPI was started')")
    without_passes = """
import torch.autograd, torch.autograd.graph
def engine(*args, **options):
    raise SystemExit("autograd's engine was started")
torch.autograd._engine_run_backward = torch.autograd.graph._engine_run_backward = engine
import plasticity_lab.studies.preload
"""
    path = os.pathsep.join([str(Path.cwd()), str(CODE)])
    subprocess.run(
        [sys.executable, "-c", without_passes], env={**os.environ, "PYTHONPATH": path}, check=True
    )
