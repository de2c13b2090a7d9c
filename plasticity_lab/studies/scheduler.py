"""Choose which segment of a study is trained next, and handle those that fail.

Executors train them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple, Protocol

from plasticity_lab.studies.plan import Segment, epochs_to_follow
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task

PATIENCE = 600.0
"""Seconds without a sign of life after which a worker is ended."""

TRIES = 2
"""How often a segment is trained that fails."""

TaskFactory = Callable[[Segment, Path], Task]
"""Makes the task of a segment, given the folder it is trained in."""


class Progress(NamedTuple):
    """What is called while a study is trained.

    Attributes:
        epoch: when an epoch has been trained.
        finished: when a segment is done.
        failed: when a segment has failed for good, with its output.
    """

    epoch: Callable[[], None]
    finished: Callable[[Segment], None]
    failed: Callable[[Segment, str], None]


class Start(Enum):
    """What an executor has made of a segment.

    Attributes:
        STARTED: it is being trained.
        LOCKED: another runner trains it.
        TRAINED: another runner has trained it.
    """

    STARTED = auto()
    LOCKED = auto()
    TRAINED = auto()


class Ended(NamedTuple):
    """A segment that is no longer being trained.

    Attributes:
        segment: it.
        failure: its output if it has failed; empty if it is trained and stored.
        preempted: whether a scheduler has stopped it, which is no failure of its own.
    """

    segment: Segment
    failure: str = ""
    preempted: bool = False


class Executor(Protocol):
    """Where segments are trained."""

    def start(self, segment: Segment) -> Start:
        """Begin to train a segment whose start is stored."""

    def wait(self, epoch: Callable[[], None]) -> list[Ended]:
        """Wait a while for running segments, report epochs, and return what has ended."""

    def stop(self) -> None:
        """End all that is being trained."""


def train(
    todo: Sequence[Segment], store: Store, jobs: int, tell: Progress, executor: Executor
) -> None:
    """Train segments, each after the one that it continues from.

    One that fails is tried twice, and stops none but those after it; one that is preempted is
    started again. A segment that another runner trains is waited for.

    Args:
        todo: what to train.
        store: where states are kept.
        jobs: how many at once.
        tell: called as the training proceeds.
        executor: trains them.
    """
    waiting = list(todo)
    running: list[Segment] = []
    failures = Counter[str]()
    try:
        while waiting or running:
            # Start what can be started.
            candidates = runnable(waiting, store)
            for segment in candidates:
                if len(running) == jobs:
                    break
                start = executor.start(segment)
                if start is Start.LOCKED:
                    continue
                waiting.remove(segment)
                if start is Start.STARTED:
                    running.append(segment)
                else:
                    report_epochs(segment, store, tell.epoch)
                    tell.finished(segment)
            if not candidates and not running:
                for segment in waiting:
                    tell.failed(segment, "the segment that it continues from has failed")
                return

            # Handle what has ended.
            for segment, failure, preempted in executor.wait(tell.epoch):
                running.remove(segment)
                if not failure:
                    tell.finished(segment)
                    continue
                failures[segment.end] += not preempted
                if failures[segment.end] < TRIES:
                    waiting.append(segment)
                else:
                    tell.failed(segment, failure)
    finally:
        executor.stop()


def runnable(waiting: Sequence[Segment], store: Store) -> list[Segment]:
    """Return the segments whose start is stored, those with most epochs to follow first."""
    epochs_left = epochs_to_follow(waiting)
    startable = [
        segment
        for segment in waiting
        if segment.start is None or store.has_checkpoint(segment.start)
    ]
    return sorted(startable, key=lambda segment: -epochs_left[segment.end])


def already_trained(state: str, test: bool, store: Store) -> bool:
    """Whether another runner has trained the segment that ends in a state since it was planned.

    Args:
        state: id of the state.
        test: whether the test split is to be measured in it.
        store: where states are kept.
    """
    return store.has_checkpoint(state) and (store.has_test(state) or not test)


def report_epochs(segment: Segment, store: Store, epoch: Callable[[], None]) -> None:
    """Report all epochs of a trained segment, of which none has been reported."""
    # A run may have ended early.
    for _ in range(segment.first, min(segment.stop, store.metadata(segment.end)["stop"])):
        epoch()
