"""Worker processes of this machine, and how they are started."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess

from plasticity_lab.project import CODE
from plasticity_lab.studies.segment_worker import train_and_store
from plasticity_lab.studies.task import Task


def start_forkserver() -> ForkServerContext:
    """Start the process from which workers are forked in milliseconds; see `studies.preload`."""
    context = multiprocessing.get_context("forkserver")
    preloaded = ["plasticity_lab.studies.workers", "plasticity_lab.studies.preload"]
    context.set_forkserver_preload(preloaded)
    # The preload ignores sys.path (python/cpython#117378).
    with code_on_python_path():
        ensure_running()
    return context


@contextmanager
def code_on_python_path() -> Iterator[None]:
    """Let processes that are started meanwhile find this project's code."""
    original = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CODE), original]))
    try:
        yield
    finally:
        if original is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = original


def start(
    context: ForkServerContext, task: Task, gpu: str | None = None
) -> tuple[Connection, BaseProcess]:
    """Start a worker; return the pipe on which it sends its outcome, and its process.

    Args:
        context: of the process that it is forked from.
        task: what it trains.
        gpu: the only GPU that it sees, as CUDA_VISIBLE_DEVICES names it; None changes nothing.
    """
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, writer, gpu))
    process.start()
    writer.close()
    return reader, process


def _work(task: Task, pipe: Connection, gpu: str | None) -> None:
    # Data loaders start processes in the platform's way, as in train.py.
    multiprocessing.set_start_method(None, force=True)
    # At Ctrl-C, the runner ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    # CUDA has not been touched yet in this process, nor in the one that it was forked from.
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    pipe.send(train_and_store(task))


def _end_with_the_runner() -> None:
    runner = multiprocessing.parent_process()
    assert runner
    wait([runner.sentinel])
    os._exit(1)
