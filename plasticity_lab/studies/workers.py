"""Worker processes: how they are started, their signs of life, and their output."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

from filelock import FileLock

from plasticity_lab.command_line import errors_in_one_line
from plasticity_lab.project import CODE
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.segment import train_segment
from plasticity_lab.studies.task import Task

PULSE = 30.0
"""Seconds between looks at how much a worker has computed."""

WORK = 1.0
"""Seconds of processor time since the last sign of life that make another one.

A process that waits for ever does not reach it.
"""

ALIVE = "alive"
EPOCH = "epoch"

PREEMPTED = {
    sign * signum + offset
    for signum in (signal.SIGTERM, signal.SIGUSR1)
    for sign, offset in ((-1, 0), (1, 128))
}
"""Exit codes of a worker that a scheduler has stopped, which is no failure of its segment."""


@dataclass
class Worker:
    """A process that trains a segment.

    Attributes:
        process: the process.
        segment: what it trains.
        place: the folder that it trains in.
        lock: of the segment, held by the runner.
        silent: seconds since its last sign of life.
        hung: whether it was ended because that was too long ago.
    """

    process: Any
    segment: Segment
    place: Path
    lock: FileLock
    silent: float = 0.0
    hung: bool = False


def start_forkserver() -> ForkServerContext:
    """Start the process from which workers are forked in milliseconds; see `studies.preload`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["plasticity_lab.studies.workers", "plasticity_lab.studies.preload"]
    )
    # The preload ignores sys.path (python/cpython#117378).
    original = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CODE), original]))
    try:
        ensure_running()
    finally:
        if original is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = original
    return context


def start(context: ForkServerContext, task: Task) -> tuple[Connection, Any]:
    """Start a worker; return the pipe on which it sends `EPOCH` and `ALIVE`, and its process."""
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, writer))
    process.start()
    writer.close()
    return reader, process


def failure_output(log: Path, code: int | None) -> str:
    """Return a failed worker's output, with the signal or exit code that ended it."""
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    if code and code < 0:
        return f"{text}\nended by signal {-code}"
    return text or f"exit code {code}"


def _work(task: Task, pipe: Connection) -> None:
    # Data loaders start processes in the platform's way, as in train.py.
    multiprocessing.set_start_method(None, force=True)
    # At Ctrl-C, the runner ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    sending = threading.Lock()

    def send(word: str) -> None:
        with sending:
            pipe.send(word)

    threading.Thread(target=_show_life, args=(send,), daemon=True).start()

    # All output goes to a file.
    log = os.open(Path(task.place) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    try:
        with errors_in_one_line("train.py"):
            train_segment(task, lambda epochs: send(EPOCH))
    except BaseException as error:
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        interrupted = isinstance(error, SystemExit) and error.code in PREEMPTED
        os._exit(int(str(error)) if interrupted else 1)


def _show_life(send: Callable[[str], None]) -> None:
    """Send a sign of life whenever the process has computed for a while.

    One that is stopped or waits for ever sends none.
    """
    reported = time.process_time()
    while True:
        time.sleep(PULSE)
        if time.process_time() - reported >= WORK:
            reported = time.process_time()
            send(ALIVE)


def _end_with_the_runner() -> None:
    runner = multiprocessing.parent_process()
    assert runner
    wait([runner.sentinel])
    os._exit(1)
