"""Trains the segments of a study on this machine: a fresh process for each, several at once."""

import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from plasticity_lab.studies.gpu_shares import check_room, least_used, visible_gpus
from plasticity_lab.studies.memory_kills import memory_kills
from plasticity_lab.studies.outcome import Cause, Outcome, cause_of_signal
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import PATIENCE, Progress, Scheduler, TaskFactory
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task
from plasticity_lab.studies.workers import start, start_forkserver

LEAVE = 10.0
"""Seconds that a worker has to end after it has sent its outcome."""


def run(
    todo: Sequence[Segment],
    make: TaskFactory,
    store: Store,
    jobs: int,
    tell: Progress,
    patience: float = PATIENCE,
    gpus: float = 0.0,
) -> None:
    """Train segments in worker processes of this machine, as `scheduler.Scheduler` specifies.

    Args:
        todo: what to train.
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept.
        jobs: how many at once.
        tell: called as the training proceeds.
        patience: seconds without a sign of life after which a worker is ended.
        gpus: share of a GPU for each segment, in (0, 1]: segments are spread over the GPUs of this
            machine. With 0 each sees all of them.

    Raises:
        UserError: if the GPUs have no room for so many segments.
    """
    if gpus:
        check_room(jobs, gpus, visible_gpus())
    executor = LocalExecutor(visible_gpus() if gpus else [])
    Scheduler(make, store, tell, executor, jobs, patience).train(todo)


@dataclass(eq=False)
class Worker:
    """A process that trains a segment.

    Attributes:
        process: the process.
        reader: the pipe on which it sends its outcome.
        gpu: name of the one GPU that it sees; None leaves it all.
        memory_kills: how many processes had been killed for lack of memory when it was started.
    """

    process: BaseProcess
    reader: Connection
    gpu: str | None
    memory_kills: int


class LocalExecutor:
    """Trains each segment in a process of this machine, which ends with this one.

    Args:
        gpus: names of GPUs to spread segments over; without any, each sees all.
    """

    queues = False

    def __init__(self, gpus: Sequence[str] = ()) -> None:
        self.gpus = gpus
        self.context = start_forkserver()
        self.workers: set[Worker] = set()

    def submit(self, task: Task) -> Worker:
        """Start a worker for a task."""
        gpu = None
        if self.gpus:
            gpu = least_used(self.gpus, [worker.gpu or "" for worker in self.workers])
        kills = memory_kills()
        reader, process = start(self.context, task, gpu)
        worker = Worker(process, reader, gpu, kills)
        self.workers.add(worker)
        return worker

    def wait(self, handles: Collection[Worker], seconds: float) -> None:
        """Wait so long, or until a worker has sent its outcome or is gone."""
        wait([worker.reader for worker in handles], timeout=seconds)

    def poll(self, handle: Worker) -> Outcome | None:
        """Return how a worker has ended; None while it has not."""
        if not handle.reader.poll():
            return None
        try:
            outcome: Outcome | None = handle.reader.recv()
        except (EOFError, OSError):
            outcome = None
        self._forget(handle)
        return outcome or self._unreported(handle)

    def cancel(self, handle: Worker) -> None:
        """Kill a worker."""
        handle.process.kill()
        self._forget(handle)

    def _forget(self, worker: Worker) -> None:
        worker.process.join(LEAVE)
        if worker.process.exitcode is None:
            # If the server of worker processes is gone too, nobody tells how it ended.
            worker.process.kill()
            worker.process.join(LEAVE)
        worker.reader.close()
        self.workers.discard(worker)

    def _unreported(self, worker: Worker) -> Outcome:
        """Return the outcome of a worker that is gone without having sent one."""
        code = -signal.SIGKILL if worker.process.exitcode is None else worker.process.exitcode
        if code >= 0:
            return Outcome(Cause.FAILED, f"ended by exit code {code}")
        if cause_of_signal(-code) is Cause.KILLED and memory_kills() > worker.memory_kills:
            return Outcome(Cause.OUT_OF_MEMORY, f"ended by signal {-code} for lack of memory")
        return Outcome(cause_of_signal(-code), f"ended by signal {-code}")
