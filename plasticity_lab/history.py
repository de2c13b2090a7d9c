"""What has been done to a run, and when: the only memory of time that there is."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from plasticity_lab.timing import Position, Time

Answers: TypeAlias = tuple[tuple[str, Any], ...]
"""What the parts of a run do at a moment, by their keys; those that do nothing are left out."""


class Entry(NamedTuple):
    """What is done from a batch on, until the next entry.

    Attributes:
        before: where the batch stood that was trained before it; None if none was.
        now: where the batch stands.
        answers: what is done.
    """

    before: Position | None
    now: Position
    answers: Answers


@dataclass
class StageDecisions:
    """How data stages that wait for the network have ended so far.

    Attributes:
        starts: the first epoch of each stage after stage 0 that has begun.
        decided: epochs after which it has been decided whether the stage ends.
        accuracy: online accuracy of the last of them, in [0, 1]; None where it was not known.
    """

    starts: list[int] = field(default_factory=list)
    decided: int = 0
    accuracy: float | None = None


class RunHistory:
    """What has been done to a run, recorded whenever it changes; part of every checkpoint.

    It grows with changes, and not with epochs in which nothing changes.

    Attributes:
        entries: what was done, in order.
        last: where the last batch stood that was trained; None if none was.
        epoch_starts: positions between which all epochs have equally many steps; the last is the
            start of the present epoch.
        begun: where a batch stands that is not trained yet; None between batches.
        acted: keys of what has acted before that batch.
        times_given: the times in the run's config, by key, as a message gives them.
        ever: keys of all that has ever been active.
        stages: how stages that wait for the network have ended.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.entries: list[Entry] = []
        self.last: Position | None = None
        self.epoch_starts: list[Position] = []
        self.begun: Position | None = None
        self.acted: list[str] = []
        self.times_given: dict[str, str] = {}
        self.ever: set[str] = set()
        self.stages = StageDecisions()

    def record(self, now: Position, answers: Answers) -> None:
        """Record what is done at the batch that comes next, if it is anything else than before."""
        if now.same_place(self.last):
            return  # another batch of the same optimizer step
        if not now.same_place(self.begun):
            self.begun, self.acted = now, []
            self._begin_epoch(now)
        if self.entries and now.same_place(self.entries[-1].now):
            # A checkpoint was written in between, and the times may be others now.
            self.entries.pop()
        latest = self.entries[-1] if self.entries else None
        if not latest or (latest.answers, latest.now.stage) != (answers, now.stage):
            self.entries.append(Entry(self.last, now, answers))
            self.ever |= {key for key, _ in answers}

    def trained(self, now: Position) -> None:
        """Record that a batch has been trained."""
        self.last, self.begun, self.acted = now, None, []

    def _begin_epoch(self, now: Position) -> None:
        starts = self.epoch_starts
        if starts and starts[-1].epoch == now.epoch:
            return
        if len(starts) > 1:
            first, second = starts[-2:]
            steps = (second.step - first.step) // (second.epoch - first.epoch)
            if (now.epoch - second.epoch, now.step - second.step) == (1, steps):
                starts.pop()
        starts.append(now)

    def starts(self) -> Iterator[Position]:
        """Yield the start of every epoch that has begun; stages are not among what it knows."""
        for first, second in zip(self.epoch_starts, self.epoch_starts[1:], strict=False):
            epochs = second.epoch - first.epoch
            steps = (second.step - first.step) // epochs
            for number in range(epochs):
                yield Position(first.epoch + number, first.step + number * steps)
        yield from self.epoch_starts[-1:]

    def walk(self, times: Iterable[Time] = ()) -> list[Entry]:
        """Return what was done wherever it can have changed: at entries, epoch starts and steps.

        Args:
            times: moments, of which some may name steps.
        """
        if self.last is None:
            return []
        last = self.last[:2]
        trained = [entry for entry in self.entries if entry.now[:2] <= last]
        ends = [entry.now[:2] for entry in trained]
        walked = list(trained)
        for before, now in self._places(times):
            number = bisect_right(ends, now[:2]) - 1
            following = trained[number + 1] if number + 1 < len(trained) else None
            skipped = following and following.before and following.before[:2] < now[:2]
            if ends[number] == now[:2] or skipped:
                continue  # an entry itself, or inside of its step
            _, latest, answers = trained[number]
            stage = latest.stage
            walked.append(Entry(before._replace(stage=stage), now._replace(stage=stage), answers))
        return sorted(walked, key=lambda entry: entry.now[:2])

    def _places(self, times: Iterable[Time]) -> Iterator[tuple[Position, Position]]:
        """Yield the start of every epoch and every step that is named, with the step before it."""
        assert self.last is not None
        end = self.last.step + 1
        named = {step for time in times for step in time.steps(end)}
        starts = [start for start in self.starts() if start[:2] <= self.last[:2]]
        for start, following in pairwise([*starts, Position(0, end)]):
            yield Position(start.epoch - 1, start.step - 1), start
            for step in range(start.step + 1, following.step) if named else ():
                if step in named:
                    yield Position(start.epoch, step - 1), Position(start.epoch, step)

    @property
    def pending(self) -> Entry | None:
        """What has acted before a batch that was not trained, as a checkpoint came between."""
        if self.begun is None or not self.acted:
            return None
        answers = tuple(one for one in self.entries[-1].answers if one[0] in self.acted)
        return Entry(self.last, self.begun, answers)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "entries": [
                [before and list(before), list(now), [list(answer) for answer in answers]]
                for before, now, answers in self.entries
            ],
            "last": self.last and list(self.last),
            "epoch_starts": [list(start) for start in self.epoch_starts],
            "begun": self.begun and list(self.begun),
            "acted": list(self.acted),
            "times_given": dict(self.times_given),
            "stages": asdict(self.stages),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the history of a checkpoint."""
        self.entries = [
            Entry(
                Position(*before) if before else None,
                Position(*now),
                tuple((key, answer) for key, answer in answers),
            )
            for before, now, answers in state["entries"]
        ]
        self.last = Position(*state["last"]) if state["last"] else None
        self.epoch_starts = [Position(*start) for start in state["epoch_starts"]]
        self.begun = Position(*state["begun"]) if state["begun"] else None
        self.acted = list(state["acted"])
        self.times_given = dict(state["times_given"])
        self.ever = {key for entry in self.entries for key, _ in entry.answers}
        self.stages = StageDecisions(**state["stages"])
