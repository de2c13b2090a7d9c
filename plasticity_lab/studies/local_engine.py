"""Trains the segments of a study on this machine: a fresh process for each, several at once."""

import shutil
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait

from plasticity_lab.studies import scheduler
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import Ended, Progress, Start, TaskFactory, already_trained
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.workers import (
    EPOCH,
    PREEMPTED,
    Worker,
    failure_output,
    start,
    start_forkserver,
)

POLL = 1.0
"""Seconds after which another runner's segments and silent workers are looked at again."""


def run(
    todo: Sequence[Segment], make: TaskFactory, store: Store, jobs: int, tell: Progress
) -> None:
    """Train segments in worker processes of this machine, as `scheduler.train` specifies.

    A worker that computes nothing for `scheduler.PATIENCE` has failed.

    Args:
        todo: what to train.
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept.
        jobs: how many at once.
        tell: called as the training proceeds.
    """
    scheduler.train(todo, store, jobs, tell, LocalExecutor(make, store))


class LocalExecutor:
    """Trains each segment in a process of this machine.

    Args:
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept.
    """

    def __init__(self, make: TaskFactory, store: Store) -> None:
        self.make = make
        self.store = store
        self.context = start_forkserver()
        self.working: dict[Connection, Worker] = {}

    def start(self, segment: Segment) -> Start:
        """Start a worker for a segment, unless another runner has it."""
        lock = self.store.lock(segment.end)
        if lock is None:
            return Start.LOCKED
        if already_trained(segment.end, segment.test, self.store):
            lock.release()
            return Start.TRAINED
        place = self.store.new_workdir(segment.end)
        reader, process = start(self.context, self.make(segment, place))
        self.working[reader] = Worker(process, segment, place, lock)
        return Start.STARTED

    def wait(self, epoch: Callable[[], None]) -> list[Ended]:
        """Wait up to a second for signs of life; end workers that gave none for too long."""
        # Time that this process itself was stopped for does not count as a worker's silence.
        since = time.monotonic()
        if not self.working:
            time.sleep(POLL)
        ready = wait(list(self.working), timeout=POLL) if self.working else []
        waited = min(time.monotonic() - since, 2 * POLL)
        for reader, worker in self.working.items():
            worker.silent = 0.0 if reader in ready else worker.silent + waited
            if worker.silent > scheduler.PATIENCE:
                worker.hung = True
                worker.process.kill()

        # A worker whose pipe is closed has ended.
        ended: list[Ended] = []
        for reader in [reader for reader in self.working if reader in ready]:
            try:
                if reader.recv() == EPOCH:
                    epoch()
            except EOFError:
                worker = self.working.pop(reader)
                failure = _ended(worker, self.store)
                reader.close()
                ended.append(Ended(worker.segment, failure, worker.process.exitcode in PREEMPTED))
        return ended

    def stop(self) -> None:
        """Kill all workers, and remove what they have begun."""
        for worker in self.working.values():
            worker.process.kill()
            worker.process.join()
            shutil.rmtree(worker.place, ignore_errors=True)
            worker.lock.release()


def _ended(worker: Worker, store: Store) -> str:
    """Store what a worker has trained; return its output if it has failed, "" otherwise."""
    worker.process.join()
    code = worker.process.exitcode
    failure = ""
    try:
        if code == 0:
            store.commit(worker.place, worker.segment.end)
        else:
            failure = failure_output(worker.place / "log.txt", code)
            if worker.hung:
                minutes = f"{scheduler.PATIENCE / 60:.3g} minutes"
                failure += f"\ngave no sign of life for {minutes}, and was ended"
    except OSError as error:
        failure = f"trained, but cannot be kept: {error.strerror}: {error.filename}"
    finally:
        shutil.rmtree(worker.place, ignore_errors=True)
        worker.lock.release()
    return failure
