"""What a worker finds that is forked from the process which has built a run once."""

import gc
import threading
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch

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
