"""What has been done to a run, and when: the only memory of time that there is."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from plasticity_lab.timing import Position, Time

Answers: TypeAlias = tuple[tuple[str, Any], ...]
"""What the parts of a run do at a moment, by their keys; those that do nothing are left out."""

Place: TypeAlias = tuple[int, int]
"""Epoch and step of a position."""


class Entry(NamedTuple):
    """What is done at a batch.

    Attributes:
        before: where the batch stood that was trained before it; None if none was.
        now: where the batch stands.
        held: what holds on from there.
        acts: what is done once there.
    """

    before: Position | None
    now: Position
    held: Answers
    acts: Answers = ()

    @property
    def answers(self) -> Answers:
        """All that is done at the batch."""
        return (*self.acts, *self.held)


@dataclass
class Acts:
    """What a part has done once at a batch, or at several that are equally many steps apart.

    Attributes:
        key: the part's.
        answer: what it did.
        first: step of the first batch.
        last: step of the last batch.
        stride: steps from one to the next; 0 if there is one only.
        gap: steps between each of them and the batch before it; 0 if none was.
        place: of the part in the run's list; at one batch, parts act in its order.
    """

    key: str
    answer: Any
    first: int
    last: int
    stride: int
    gap: int
    place: int

    def goes_on_with(self, other: "Acts") -> bool:
        """Whether a later act of the same part continues the sequence."""
        later = other.first - self.last
        alike = (self.gap, self.place) == (other.gap, other.place) and self.gap > 0
        return alike and later > 0 and self.stride in (0, later)

    def steps(self) -> range:
        """Return the steps of its batches."""
        return range(self.first, self.last + 1, self.stride or 1)


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
    """What has been done to a run: whatever holds, whenever it changes, and each single act.

    It is part of every checkpoint. It grows with changes, and neither with epochs in which nothing
    changes nor with acts that recur.

    Attributes:
        entries: what held from a batch on, until the next entry.
        acts: what was done once, in sequences.
        last: where the last batch stood that was trained; None if none was.
        epoch_starts: positions between which all epochs have equally many steps; the last is the
            start of the present epoch.
        stride: optimizer steps from one batch to the next; more than 1 with several optimizers.
        begun: where a batch stands that is not trained yet; None between batches.
        acted: what has acted before that batch, by key.
        order: places of the parts in the run's list, by key; not a part of checkpoints.
        times_given: the times in the run's config, by key, as a message gives them.
        ever: keys of all that has ever been active.
        stages: how stages that wait for the network have ended.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.acts: list[Acts] = []
        self._latest: dict[tuple[str, Any], Acts] = {}
        self.last: Position | None = None
        self.epoch_starts: list[Position] = []
        self.stride = 1
        self.begun: Position | None = None
        self.acted: dict[str, Any] = {}
        self.order: dict[str, int] = {}
        self.times_given: dict[str, str] = {}
        self.ever: set[str] = set()
        self.stages = StageDecisions()
        self._entry_texts: list[str] = []  # JSON of entries, which stay what they are

    def begin(self, now: Position) -> None:
        """Note that a batch is about to be trained, if it has not been begun already."""
        if not now.same_place(self.begun):
            self.begun, self.acted = now, {}

    def trained(self, now: Position, answers: Answers, held: Answers) -> None:
        """Record that a batch has been trained.

        Args:
            now: where it stood.
            answers: what was done at it.
            held: what of that holds on, were the next batch at the same place.
        """
        self.begun, self.acted = None, {}
        if now.same_place(self.last):
            return  # another batch of the same optimizer step
        self._begin_epoch(now)
        latest = self.entries[-1] if self.entries else None
        if not latest or (latest.held, latest.now.stage) != (held, now.stage):
            self.entries.append(Entry(self.last, now, held))
            self.ever |= {key for key, _ in held}
        if answers != held:
            self._add_acts(now, [one for one in answers if one not in held])
        if self.last and now.step > self.last.step:
            self.stride = now.step - self.last.step
        self.last = now

    def _add_acts(self, now: Position, acts: Iterable[tuple[str, Any]]) -> None:
        gap = now.step - self.last.step if self.last else 0
        for key, answer in acts:
            self.ever.add(key)
            act = Acts(key, answer, now.step, now.step, 0, gap, self.order.get(key, 0))
            latest = self._latest.get((key, answer))
            if latest and latest.goes_on_with(act):
                latest.stride, latest.last = now.step - latest.last, now.step
            else:
                self._latest[key, answer] = act
                self.acts.append(act)

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
        for first, second in pairwise(self.epoch_starts):
            epochs = second.epoch - first.epoch
            steps = (second.step - first.step) // epochs
            for number in range(epochs):
                yield Position(first.epoch + number, first.step + number * steps)
        yield from self.epoch_starts[-1:]

    def walk(self, times: Iterable[Time] = ()) -> list[Entry]:
        """Return what was done wherever that can have changed.

        That is at entries, acts and epoch starts, and at steps that are named.

        Args:
            times: moments, of which some may name steps.
        """
        if self.last is None:
            return []
        starts = [start for start in self.starts() if start[:2] <= self.last[:2]]
        steps = [start.step for start in starts]
        places: dict[Place, Place | None] = {}

        def add(step: int, gap: int) -> None:
            # A batch at a step, and the one before it; at a step between two epochs, the later one.
            number, earlier = bisect_right(steps, step) - 1, bisect_right(steps, step - gap) - 1
            before = (starts[earlier].epoch, step - gap) if gap and earlier >= 0 else None
            places[starts[number].epoch, step] = before

        for start in starts[1:]:
            add(start.step, self.stride)
        for step in {step for time in times for step in time.steps(self.last.step + 1)}:
            number = bisect_right(steps, step) - 1
            # The first batch at or after it.
            place = step + (steps[number] - step) % self.stride if number >= 0 else -1
            if steps[0] < place <= self.last.step:
                add(place, self.stride)
        done: dict[Place, list[tuple[str, Any]]] = {}
        for acts in sorted(self.acts, key=lambda acts: acts.place):
            for step in acts.steps():
                add(step, acts.gap)
                epoch = starts[bisect_right(steps, step) - 1].epoch
                done.setdefault((epoch, step), []).append((acts.key, acts.answer))
        for entry in self.entries:
            places[entry.now[:2]] = entry.before and entry.before[:2]
        return [self._entry(place, places[place], done.get(place, [])) for place in sorted(places)]

    def _entry(self, place: Place, before: Place | None, acts: list[tuple[str, Any]]) -> Entry:
        """Return what was done at a place: acts there, and whatever held."""
        number = bisect_right(self.entries, place, key=lambda entry: entry.now[:2]) - 1
        latest = self.entries[number]
        earlier = self.entries[max(number - (latest.now[:2] == place), 0)].now
        acting = {key for key, _ in acts}
        held = tuple(one for one in latest.held if one[0] not in acting)
        return Entry(
            earlier._replace(epoch=before[0], step=before[1]) if before else None,
            latest.now._replace(epoch=place[0], step=place[1]),
            held,
            tuple(acts),
        )

    @property
    def pending(self) -> Entry | None:
        """What has acted before a batch that was not trained, as a checkpoint came between."""
        if self.begun is None or not self.acted:
            return None
        return Entry(self.last, self.begun, (), tuple(self.acted.items()))

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"entries": [_plain(entry) for entry in self.entries], **self._state_but_entries()}

    def to_json(self) -> str:
        """Return `state_dict` as JSON, in a time that does not grow with the number of entries."""
        new = self.entries[len(self._entry_texts) :]
        self._entry_texts += [json.dumps(_plain(entry)) for entry in new]
        others = json.dumps(self._state_but_entries())
        return f'{{"entries": [{", ".join(self._entry_texts)}], {others[1:]}'

    def _state_but_entries(self) -> dict[str, Any]:
        return {
            "acts": [asdict(acts) for acts in self.acts],
            "last": self.last and list(self.last),
            "epoch_starts": [list(start) for start in self.epoch_starts],
            "stride": self.stride,
            "begun": self.begun and list(self.begun),
            "acted": dict(self.acted),
            "times_given": dict(self.times_given),
            "stages": asdict(self.stages),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the history of a checkpoint."""
        self.entries = [
            Entry(
                Position(*before) if before else None,
                Position(*now),
                tuple((key, answer) for key, answer in held),
            )
            for before, now, held in state["entries"]
        ]
        self._entry_texts = []
        self.acts = [Acts(**acts) for acts in state["acts"]]
        self._latest = {(acts.key, acts.answer): acts for acts in self.acts}
        self.last = Position(*state["last"]) if state["last"] else None
        self.epoch_starts = [Position(*start) for start in state["epoch_starts"]]
        self.stride = state["stride"]
        self.begun = Position(*state["begun"]) if state["begun"] else None
        self.acted = dict(state["acted"])
        self.times_given = dict(state["times_given"])
        self.ever = {key for entry in self.entries for key, _ in entry.held}
        self.ever |= {acts.key for acts in self.acts}
        self.stages = StageDecisions(**state["stages"])


def _plain(entry: Entry) -> list[Any]:
    before = entry.before and list(entry.before)
    return [before, list(entry.now), [*map(list, entry.held)]]
