"""Train the segments of a study: which one next, how many at once, and what of those that fail.

Executors only start processes, wherever they run.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.studies.executor import Attempt, Executor, Handle
from plasticity_lab.studies.last_words import last_words
from plasticity_lab.studies.outcome import TRIES, Cause, Outcome, final_output
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.signs_of_life import read_life
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task
from plasticity_lab.studies.waiting_segments import WaitingSegments

PATIENCE = 600.0
"""Seconds without a sign of life after which an attempt is ended."""

POLL = 1.0
"""Seconds after which signs of life and other runners' segments are looked at again."""

TaskFactory = Callable[[Segment, Path], Task]
"""Makes the task of a segment, given the folder it is trained in."""


def _nothing(segment: Segment, output: str) -> None:
    """Do nothing."""


class Progress(NamedTuple):
    """What is called while a study is trained.

    Attributes:
        epoch: when an epoch has been trained.
        finished: when a segment is done.
        failed: when a segment has failed for good, with its output, whose last line says why.
        again: when a segment is tried again, with the reason in one line.
    """

    epoch: Callable[[], None]
    finished: Callable[[Segment], None]
    failed: Callable[[Segment, str], None]
    again: Callable[[Segment, str], None] = _nothing


class Scheduler(Generic[Handle]):
    """Trains segments, each after the one that it continues from.

    An attempt that ends early is repeated as often as its cause allows (`outcome.TRIES`); after
    lack of memory alone. A segment that fails for good stops none but those after it. One that
    another runner trains is waited for.

    Args:
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept.
        tell: called as the training proceeds.
        executor: trains them.
        jobs: how many at once.
        patience: seconds without a sign of life after which an attempt is ended.
    """

    def __init__(
        self,
        make: TaskFactory,
        store: Store,
        tell: Progress,
        executor: Executor[Handle],
        jobs: int,
        patience: float = PATIENCE,
    ) -> None:
        self.make = make
        self.store = store
        self.tell = tell
        self.executor = executor
        self.jobs = jobs
        self.patience = patience
        self.waiting = WaitingSegments([], store.has_checkpoint)
        self.locked: list[Segment] = []
        self.alone: list[Segment] = []
        self.running: list[Attempt[Handle]] = []
        self.ends = Counter[tuple[str, Cause]]()
        self.counted = Counter[str]()

    def train(self, todo: Sequence[Segment]) -> None:
        """Train segments; return when all are done or have failed for good."""
        self.waiting = WaitingSegments(todo, self.store.has_checkpoint)
        try:
            self._start()
            while self.running or self.locked:
                self._wait()
                self._end_silent()
                self._collect()
                self._start()
            for segment in self.waiting.blocked():
                self.tell.failed(segment, "the segment that it continues from has failed")
        finally:
            for attempt in self.running:
                self.executor.cancel(attempt.handle)
                self.store.discard(attempt.place)

    def _start(self) -> None:
        """Start what there is room for; what has to be alone comes last."""
        # Another runner may be done with what it has trained.
        locked, self.locked = self.locked, []
        for other in locked:
            self.waiting.add(other)

        while len(self.running) < self.jobs and not self._is_alone():
            segment = self.waiting.pop()
            if segment is None and not self.running and not self.locked:
                self.waiting.release_stored()
                segment = self.waiting.pop() or (self.alone.pop(0) if self.alone else None)
            if segment is None:
                break
            if self._must_be_alone(segment) and self.running:
                self.alone.append(segment)
            elif self.store.is_trained(segment.end, segment.test):
                # Another runner has trained it since it was planned.
                self._finish(segment)
            elif self.store.is_locked(segment.end):
                self.locked.append(segment)
            elif not self._submit(segment):
                break

    def _submit(self, segment: Segment) -> bool:
        """Start a segment; return whether there was room for it."""
        place = self.store.workdir(segment.end)
        try:
            handle = self.executor.submit(self.make(segment, place))
        except UserError:
            # A cluster may refuse one more job than a user may have.
            if not self.running:
                raise
            self.waiting.add(segment)
            return False
        self.running.append(Attempt(segment, place, handle))
        return True

    def _is_alone(self) -> bool:
        """Whether what runs has to be alone."""
        return any(self._must_be_alone(attempt.segment) for attempt in self.running)

    def _must_be_alone(self, segment: Segment) -> bool:
        return self.ends[segment.end, Cause.OUT_OF_MEMORY] > 0

    def _wait(self) -> None:
        """Wait a while, and look for signs of life."""
        since = time.monotonic()
        if self.running:
            self.executor.wait([attempt.handle for attempt in self.running], POLL)
        else:
            time.sleep(POLL)
        # Time that this process itself was stopped for does not count as silence.
        waited = min(time.monotonic() - since, 2 * POLL)

        for attempt in self.running:
            life = read_life(attempt.place)
            if life is not None and (attempt.life is None or life.has_moved_since(attempt.life)):
                attempt.life, attempt.silent = life, 0.0
                self._count_epochs(attempt.segment, life.epochs)
            elif attempt.life is not None or not self.executor.queues:
                attempt.silent += waited

    def _end_silent(self) -> None:
        """End attempts that have given no sign of life for too long."""
        for attempt in list(self.running):
            if attempt.silent > self.patience:
                self.running.remove(attempt)
                self.executor.cancel(attempt.handle)
                silence = f"no sign of life for {self.patience / 60:.3g} minutes"
                self._handle(attempt, Outcome(Cause.HUNG, silence))

    def _collect(self) -> None:
        """Handle attempts that have ended."""
        for attempt in list(self.running):
            outcome = self.executor.poll(attempt.handle)
            if outcome is not None:
                self.running.remove(attempt)
                self._handle(attempt, outcome)

    def _handle(self, attempt: Attempt[Handle], outcome: Outcome) -> None:
        """Finish a segment, try it again, or give it up, as its outcome says."""
        segment = attempt.segment
        if outcome.cause not in (Cause.TRAINED, Cause.LOCKED):
            printed = last_words(attempt.place)
            outcome = outcome._replace(output=f"{printed}\n{outcome.output}".strip())
        self.store.discard(attempt.place)

        if outcome.cause is Cause.TRAINED:
            self._finish(segment)
            return
        if outcome.cause is Cause.LOCKED:
            self.locked.append(segment)
            return
        self.ends[segment.end, outcome.cause] += 1
        ends = self.ends[segment.end, outcome.cause]
        if ends >= TRIES[outcome.cause]:
            self.tell.failed(segment, final_output(outcome, ends))
            return
        self.tell.again(segment, final_output(outcome, ends).splitlines()[-1])
        if outcome.cause is Cause.START_DAMAGED:
            self._train_start_again(segment)
        self.waiting.add(segment)

    def _train_start_again(self, segment: Segment) -> None:
        """Add the segments that lead to a start whose checkpoint is gone, as they were trained."""
        running = {attempt.segment.end for attempt in self.running}
        start, following = segment.start, segment
        self.waiting.forget(start or "")
        while start and start not in running and not self.store.has_checkpoint(start):
            if self.waiting.is_waiting(start):
                return
            entry = self.store.metadata(start)
            before = segment._replace(
                start=entry["start"],
                end=start,
                first=entry["first"],
                stop=entry["stop"],
                test=False,
            )
            self.waiting.add_before(before, following)
            self.counted[start] = before.stop - before.first
            start, following = before.start, before

    def _finish(self, segment: Segment) -> None:
        # A run may have ended early.
        self._count_epochs(segment, self.store.metadata(segment.end)["stop"])
        self.waiting.release(segment.end)
        self.tell.finished(segment)

    def _count_epochs(self, segment: Segment, stop: int) -> None:
        """Report the epochs of a segment up to one, as far as none has reported them."""
        trained = min(stop, segment.stop) - segment.first
        for _ in range(trained - self.counted[segment.end]):
            self.tell.epoch()
        self.counted[segment.end] = max(trained, self.counted[segment.end])
