"""What the scheduler needs of those that start processes: on this machine or on a cluster."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from plasticity_lab.studies.outcome import Outcome
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.signs_of_life import Life
from plasticity_lab.studies.task import Task

Handle = TypeVar("Handle")


class Executor(Protocol[Handle]):
    """Where segments are trained, each by `segment_worker.train_and_store` in its own process.

    Attributes:
        queues: whether a task may wait for a place, silently.
    """

    queues: bool

    def submit(self, task: Task) -> Handle:
        """Start a process for a task, or queue it.

        Raises:
            UserError: if it cannot be started; while others are running, it is tried again later.
        """

    def wait(self, handles: Collection[Handle], seconds: float) -> None:
        """Wait so long, or until one has ended."""

    def poll(self, handle: Handle) -> Outcome | None:
        """Return how a task has ended; None while it has not. Called until it has, once."""

    def cancel(self, handle: Handle) -> None:
        """End a task that has not ended."""


@dataclass
class Attempt(Generic[Handle]):
    """A segment that is being trained.

    Attributes:
        segment: it.
        place: the folder it is trained in.
        handle: the executor's.
        life: its last sign of life; None before the first.
        silent: seconds since then.
    """

    segment: Segment
    place: Path
    handle: Handle
    life: Life | None = None
    silent: float = 0.0
