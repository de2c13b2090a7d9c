"""Trains the segments of a study on this machine: a fresh process for each, several at once."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any, NamedTuple

from command_line import HERE
from studies.plan import Segment, epochs_to_follow
from studies.segment import Task, train_segment
from studies.store import Store


class Events(NamedTuple):
    """What an engine tells while it works.

    Attributes:
        epoch: an epoch has been trained.
        finished: a segment is done.
        failed: a segment has failed for good, with all that it said.
    """

    epoch: Callable[[], None]
    finished: Callable[[Segment], None]
    failed: Callable[[Segment, str], None]


PREEMPTED = {sign * signum + offset for signum in (signal.SIGTERM, signal.SIGUSR1) for sign, offset in ((-1, 0), (1, 128))}
"""Exit codes of a worker that a scheduler has stopped, which is no failure of its segment."""

MakeTask = Callable[[Segment, Path], Task]


def ready(waiting: Sequence[Segment], store: Store) -> list[Segment]:
    """Return the segments whose beginning is there, those with most to follow first."""
    ahead = epochs_to_follow(waiting)
    able = [segment for segment in waiting if segment.start is None or store.kept(segment.start)]
    return sorted(able, key=lambda segment: -ahead[segment.end])


def run(todo: Sequence[Segment], make: MakeTask, store: Store, jobs: int, tell: Events) -> None:
    """Train segments, each after what it goes on from; one that fails is tried twice, and stops none but those after it.

    Args:
        todo: what to train.
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept.
        jobs: how many at once.
        tell: told what happens.
    """
    context = start_forkserver()
    waiting, failures = list(todo), dict[str, int]()
    working: dict[Connection, tuple[Any, Segment, Path]] = {}
    try:
        while waiting or working:
            able = ready(waiting, store)
            for segment in able[: jobs - len(working)]:
                waiting.remove(segment)
                place = store.workplace(segment.end)
                reader, writer = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(make(segment, place), writer))
                process.start()
                writer.close()
                working[reader] = process, segment, place
            if not working:
                for segment in waiting:
                    tell.failed(segment, "what it goes on from has failed")
                return
            told = wait(list(working))
            for reader in [one for one in working if one in told]:
                try:
                    reader.recv()
                    tell.epoch()
                except EOFError:
                    process, segment, place = working.pop(reader)
                    reader.close()
                    process.join()
                    if process.exitcode == 0:
                        store.publish(place, segment.end)
                        tell.finished(segment)
                    elif process.exitcode in PREEMPTED:
                        waiting.append(segment)
                        shutil.rmtree(place)
                    elif failures.setdefault(segment.end, 0) == 0:
                        failures[segment.end] = 1
                        waiting.append(segment)
                    else:
                        tell.failed(segment, said(place / "log.txt", process.exitcode))
                        shutil.rmtree(place)
    finally:
        for process, _, place in working.values():
            process.kill()
            process.join()
            shutil.rmtree(place, ignore_errors=True)


def start_forkserver() -> ForkServerContext:
    """Start the process that has imported everything once, from which each worker is forked in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["studies.segment"])
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), given]))  # python/cpython#117378: preload ignores sys.path
    try:
        ensure_running()
    finally:
        if given is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = given
    return context


def said(log: Path, code: int | None) -> str:
    """Return a failed worker's output."""
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return f"{text}\nended by signal {-code}" if code and code < 0 else text or f"exit code {code}"


def _work(task: Task, pipe: Connection) -> None:
    multiprocessing.set_start_method(None, force=True)  # the platform's, for data loaders, as in train.py
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner ends its workers
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    log = os.open(Path(task.place) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    try:
        train_segment(task, pipe.send)
    except BaseException as error:
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        interrupted = isinstance(error, SystemExit) and error.code in PREEMPTED
        os._exit(int(str(error)) if interrupted else 1)


def _end_with_the_runner() -> None:
    runner = multiprocessing.parent_process()
    assert runner
    wait([runner.sentinel])
    os._exit(1)
