"""Trains the segments of a study on this machine: a fresh process for each, several at once."""

import shutil
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.studies import workers
from plasticity_lab.studies.plan import Segment, epochs_to_follow
from plasticity_lab.studies.segment import Task
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.workers import EPOCH, PREEMPTED, Worker, said, start, start_forkserver

POLL = 1.0
"""Seconds after which another runner's segments and silent workers are looked at again."""


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


MakeTask = Callable[[Segment, Path], Task]


def ready(waiting: Sequence[Segment], store: Store) -> list[Segment]:
    """Return the segments whose beginning is there, those with most to follow first."""
    ahead = epochs_to_follow(waiting)
    able = [segment for segment in waiting if segment.start is None or store.kept(segment.start)]
    return sorted(able, key=lambda segment: -ahead[segment.end])


def already_trained(segment: Segment, store: Store) -> bool:
    """Whether another runner has trained a segment since it was planned."""
    return store.kept(segment.end) and (store.tested(segment.end) or not segment.test)


def run(todo: Sequence[Segment], make: MakeTask, store: Store, jobs: int, tell: Events) -> None:
    """Train segments, each after what it goes on from; one that fails is tried twice, and stops none but those after it.

    A segment that another runner trains is waited for. A worker that computes nothing for `workers.PATIENCE` has failed.

    Args:
        todo: what to train.
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept.
        jobs: how many at once.
        tell: told what happens.
    """
    context = start_forkserver()
    waiting, failures = list(todo), dict[str, int]()
    working: dict[Connection, Worker] = {}
    silent: dict[Connection, float] = {}
    hung: set[Connection] = set()
    try:
        while waiting or working:
            able = ready(waiting, store)
            for segment in able:
                if len(working) == jobs:
                    break
                lock = store.lock(segment.end)
                if lock is None:
                    continue
                waiting.remove(segment)
                if already_trained(segment, store):
                    lock.release()
                    _tell_trained(segment, store, tell)
                    continue
                place = store.workplace(segment.end)
                reader, process = start(context, make(segment, place))
                working[reader], silent[reader] = Worker(process, segment, place, lock), 0.0
            if not able and not working:
                for segment in waiting:
                    tell.failed(segment, "what it goes on from has failed")
                return

            # Time that this process itself was stopped for does not count as a worker's silence.
            since = time.monotonic()
            if not working:
                time.sleep(POLL)
            told = wait(list(working), timeout=POLL) if working else []
            waited = min(time.monotonic() - since, 2 * POLL)
            for reader in list(working):
                silent[reader] = 0.0 if reader in told else silent[reader] + waited
                if silent[reader] > workers.PATIENCE:
                    hung.add(reader)
                    working[reader].process.kill()

            for reader in [one for one in working if one in told]:
                try:
                    if reader.recv() == EPOCH:
                        tell.epoch()
                except EOFError:
                    worker = working.pop(reader)
                    wrong = _ended(worker, store, reader in hung)
                    silent.pop(reader)
                    hung.discard(reader)
                    reader.close()
                    if not wrong:
                        tell.finished(worker.segment)
                    elif worker.process.exitcode in PREEMPTED:
                        waiting.append(worker.segment)
                    elif failures.setdefault(worker.segment.end, 0) == 0:
                        failures[worker.segment.end] = 1
                        waiting.append(worker.segment)
                    else:
                        tell.failed(worker.segment, wrong)
    finally:
        for worker in working.values():
            worker.process.kill()
            worker.process.join()
            shutil.rmtree(worker.place, ignore_errors=True)
            worker.lock.release()


def _tell_trained(segment: Segment, store: Store, tell: Events) -> None:
    # A run may have ended early.
    for _ in range(segment.first, min(segment.stop, store.done(segment.end)["stop"])):
        tell.epoch()
    tell.finished(segment)


def _ended(worker: Worker, store: Store, hung: bool) -> str:
    """Keep what a worker has trained; return what it has said if it has failed, "" otherwise."""
    worker.process.join()
    code, wrong = worker.process.exitcode, ""
    try:
        if code == 0:
            store.publish(worker.place, worker.segment.end)
        else:
            wrong = said(worker.place / "log.txt", code)
            if hung:
                wrong = f"{wrong}\ngave no sign of life for {workers.PATIENCE / 60:.3g} minutes, and was ended"
    except OSError as error:
        wrong = f"trained, but cannot be kept: {error.strerror}: {error.filename}"
    finally:
        shutil.rmtree(worker.place, ignore_errors=True)
        worker.lock.release()
    return wrong
