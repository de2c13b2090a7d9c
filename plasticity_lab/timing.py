"""When things happen in a run: moments, recurrences, positions, windows, values over time."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

from plasticity_lab.errors import UserError

Value = TypeVar("Value")

_PATTERN = re.compile(r"(?P<head>stage)?(?P<number>\d+(\.\d+)?)(?P<unit>ep|st|%)?", re.ASCII)


class Position(NamedTuple):
    """The position of a run: before the next batch of `epoch`, after `step` optimizer steps.

    `epoch` counts from 0; `stage` is the stage of the data. `in_last_stage` says whether no later
    one begins, and `stage_ends` whether the next one begins with the next epoch, as far as that is
    known.
    """

    epoch: int
    step: int
    stage: int = 0
    in_last_stage: bool = True
    stage_ends: bool = False

    def same_place(self, other: "Position | None") -> bool:
        """Whether another is before the same optimizer step of the same epoch."""
        return other is not None and self[:2] == other[:2]


class Time:
    """A moment of a run, written as text.

    `"80ep"` is the start of 0-based epoch 80, `"4000st"` the moment after 4,000 optimizer steps,
    `"50%"` the first epoch start at or after that share of `max_epochs`, `"stage2"` the start of
    data stage 2 (the first stage is 0) and `"stages"` the start of every stage but the first. Units
    are never converted into each other: an epoch has no fixed number of steps when data grow.

    Args:
        text: the moment as written; kept in its canonical form (`"080ep"` becomes `"80ep"`). A
            `Time` is itself.

    Raises:
        UserError: for a bare number, a negative number, an unknown unit, a fraction of an epoch,
            step or stage, more than 100 %.
    """

    def __init__(self, text: "str | Time") -> None:
        self.text: str = text.text if isinstance(text, Time) else _canonical(text)

    def __eq__(self, other: object) -> bool:
        """Whether another is the same moment, written the same way."""
        return type(other) is Time and other.text == self.text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self.text)

    def __repr__(self) -> str:
        """Return how to make it again."""
        return f"{type(self).__name__}({self.text!r})"

    def __str__(self) -> str:
        """Return the canonical text; `Time(str(time)) == time`."""
        return self.text

    @cached_property
    def unit(self) -> str:
        """One of `ep`, `st`, `%`, `stage`, `stages`."""
        return re.sub(r"[\d.]", "", self.text)

    @cached_property
    def number(self) -> int | Fraction:
        """The number before the unit; 1 for `stages`, whose first moment is stage 1."""
        number = Fraction(re.sub(r"[^\d.]", "", self.text) or 1)
        return number.numerator if number.denominator == 1 else number

    def count(self, now: Position, epochs: int) -> int:
        """Return how often the moment has come at `now`, in a run of `epochs` epochs.

        That is 0 or 1, and for `stages` any number.
        """
        if self.unit == "stages":
            return now.stage
        return int(self._passed(now, epochs) >= self._needed(epochs))

    def reached(self, now: Position, epochs: int) -> bool:
        """Whether the moment is at or before `now` in a run of `epochs` epochs."""
        return self.count(now, epochs) > 0

    def crossed(self, before: Position | None, now: Position, epochs: int) -> bool:
        """Whether the moment lies after `before` and not after `now`.

        `before` is None where nothing has been trained.
        """
        return self.count(now, epochs) > (self.count(before, epochs) if before else 0)

    def known(self, stages_known: bool) -> bool:
        """Whether it is known before a run in which epoch the moment comes."""
        return self.unit != "st" and (stages_known or not self.unit.startswith("stage"))

    def steps(self, end: int) -> Sequence[int]:
        """Return the optimizer steps that it names, below `end`."""
        return [int(self.number)] if self.unit == "st" and self.number < end else []

    def _passed(self, now: Position, epochs: int) -> int:
        """Return how far `now` is, in the unit; of `%`, in hundredths of an epoch."""
        match self.unit:
            case "ep":
                return now.epoch
            case "st":
                return now.step
            case "%":
                return now.epoch * 100
            case _:
                return now.stage

    def _needed(self, epochs: int) -> int | Fraction:
        return self.number * epochs if self.unit == "%" else self.number


class Every(Time):
    """A recurrence: the moments at every multiple of a time.

    `"10ep"` are the starts of epochs 10, 20, …, `"100st"` the moments after 100, 200, … optimizer
    steps, `"10%"` the first epoch starts at or after those shares of `max_epochs`, `"stages"` the
    starts of all data stages but the first and `"stage2"` those of stages 2, 4, ….

    Args:
        text: the time between two of the moments, as `Time` takes it.

    Raises:
        UserError: for what is not a time, or for 0.
    """

    def __init__(self, text: "str | Time") -> None:
        super().__init__(text)
        if not self.number:
            raise UserError(
                "every", value=self, fix="set a time above 0, such as '1ep', '100st' or '10%'"
            )

    def __eq__(self, other: object) -> bool:
        """Whether another is the same recurrence, written the same way."""
        return isinstance(other, Every) and other.text == self.text

    def __hash__(self) -> int:
        """Hash it as something else than the moment of that text."""
        return hash(("every", self.text))

    def count(self, now: Position, epochs: int) -> int:
        """Return how many of the moments have come at `now`, in a run of `epochs` epochs."""
        return int(self._passed(now, epochs) // (self._needed(epochs) or 1))

    def steps(self, end: int) -> Sequence[int]:
        """Return the optimizer steps that it names, below `end`."""
        number = int(self.number)
        return range(number, end, number) if self.unit == "st" else []


def _canonical(text: str) -> str:
    if text == "stages":
        return text
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None or bool(match["head"]) == bool(match["unit"]):
        raise UserError(
            f"{text!r} is not a time",
            fix=(
                "set '80ep' (start of 0-based epoch 80), '4000st' (after 4,000 optimizer steps), "
                "'50%' (of max_epochs), 'stage2' (start of data stage 2) or 'stages' (start of "
                "every "
                "stage but the first)"
            ),
        )
    number = Fraction(match["number"])
    if match["unit"] == "%":
        if number > 100:
            raise UserError(
                f"{text!r} lies beyond the end of the run",
                problem="a share of max_epochs is at most '100%'",
            )
    elif number.denominator != 1:
        raise UserError(
            f"{text!r} is not a time",
            problem="only '%' takes a fraction, epochs, steps and stages are whole",
        )
    digits = str(number.numerator) if number.denominator == 1 else match["number"].strip("0")
    if digits.startswith("."):
        digits = f"0{digits}"
    return f"{match['head'] or ''}{digits}{match['unit'] or ''}"


@dataclass(frozen=True)
class Window:
    """The time from `start` until `stop`, stop excluded; empty if they are the same moment.

    Args:
        start: its first moment.
        stop: the first moment after it.

    Raises:
        UserError: if it ends before it starts, as far as that shows without knowing the run, or a
            moment is `stages` (many).
    """

    start: Time
    stop: Time

    def __post_init__(self) -> None:
        """Check the order."""
        if "stages" in (self.start.unit, self.stop.unit):
            raise UserError(
                "during",
                value=self,
                problem="'stages' are several moments",
                fix="set one of them, such as 'stage1'",
            )
        if self.start.unit == self.stop.unit and self.stop.number < self.start.number:
            raise UserError(
                "during", value=self, problem="ends before it starts", fix="set [start, stop]"
            )

    def __iter__(self) -> Iterator[Time]:
        """Yield start and stop."""
        return iter((self.start, self.stop))

    def __str__(self) -> str:
        """Return it as YAML writes it."""
        return f"[{self.start}, {self.stop}]"

    def open(self, now: Position, epochs: int) -> bool:
        """Whether `now` lies in the window, in a run of `epochs` epochs."""
        return self.start.reached(now, epochs) and not self.stop.reached(now, epochs)


class Levels(Generic[Value]):
    """A value as a function of time: each entry holds from its moment on; none before the first.

    Entries are checked in the order written and the last one reached is active, so they must
    increase in time within a unit.

    Args:
        levels: `{moment: value}` with moments as `Time` writes them, e.g. `{"0ep": 0.0005, "100ep":
            0.0}`.

    Raises:
        UserError: if empty, if a moment is not a time, or if moments of one unit do not increase.
    """

    def __init__(self, levels: Mapping[str, Value]) -> None:
        self.entries = [(Time(moment), value) for moment, value in levels.items()]
        if not self.entries:
            raise UserError("levels is empty", fix="set at least one '{moment: value}'")
        if any(time.unit == "stages" for time, _ in self.entries):
            raise UserError(
                "levels",
                problem="'stages' are several moments",
                fix="set them one by one, as 'stage1'",
            )
        latest: dict[str, Time] = {}
        for time, _ in self.entries:
            earlier = latest.setdefault(time.unit, time)
            if time is not earlier and time.number <= earlier.number:
                raise UserError(
                    "levels must increase in time", problem=f"'{time}' stands after '{earlier}'"
                )
            latest[time.unit] = time

    @property
    def times(self) -> list[Time]:
        """The moments."""
        return [time for time, _ in self.entries]

    def at(self, now: Position, epochs: int) -> Value | None:
        """Return the value active at `now` in a run of `epochs` epochs; None before the first."""
        return next(
            (value for time, value in reversed(self.entries) if time.reached(now, epochs)), None
        )
