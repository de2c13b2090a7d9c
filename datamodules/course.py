"""What the network is shown over time, and has been shown so far."""

from typing import Any, NamedTuple

from datamodules.appearance import Appearance
from datamodules.stages import Stages
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Position

_WAY_OUT = "what has passed cannot be changed: start a new run, or name a later time"


class Shown(NamedTuple):
    """What is in force at a moment.

    Attributes:
        stage: data stage.
        examples: number of training examples in it.
        deficits: the deficits, with their arguments.
        augmented: the share of training images that are augmented.
    """

    stage: int
    examples: int
    deficits: tuple[str, ...]
    augmented: float


class Course:
    """What the network is shown over time: which examples, and how they look.

    What was in force is noted at each epoch's first batch and whenever it changes, and is part of
    every checkpoint, so that a run that goes on from one cannot give times to its past that were
    not kept.

    Args:
        stages: which examples.
        appearance: how they look.

    Attributes:
        past: what was in force when, from the run's first batch on.
        last: where the last batch was trained; None before the first.
        trained: whether a batch has been trained since the run began or was gone on with.
    """

    def __init__(self, stages: Stages, appearance: Appearance) -> None:
        self.stages, self.appearance = stages, appearance
        self.past: list[tuple[Position, Shown]] = []
        self.last: Position | None = None
        self.trained = False

    def in_force(self, now: Position) -> Shown:
        """Return what is in force at a moment."""
        look = self.appearance
        return Shown(
            now.stage, self.stages.sizes[now.stage], look.impairments(now), look.augmented(now)
        )

    def note(self, now: Position) -> None:
        """Note what is in force at a batch about to be trained."""
        shown, self.last, self.trained = self.in_force(now), now, True
        if not self.past or self.past[-1][0].epoch != now.epoch or self.past[-1][1] != shown:
            self.past.append((now, shown))

    def state_dict(self) -> dict[str, Any]:
        """Return the past, as plain values."""
        past = [
            [list(now), [shown.stage, shown.examples, list(shown.deficits), shown.augmented]]
            for now, shown in self.past
        ]
        return {
            "past": past,
            "last": self.last and list(self.last),
            "stages": self.stages.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's past."""
        self.stages.load_state_dict(state["stages"])
        self.last = Position(*state["last"]) if state["last"] else None
        self.past = [
            (Position(*now), Shown(stage, examples, tuple(deficits), augmented))
            for now, (stage, examples, deficits, augmented) in state["past"]
        ]

    def check_past(self) -> None:
        """Raise UserError if this course times something, for a moment that has passed, otherwise than it was.

        What it does not time at all (a deficit that it does not have, augmentation without a
        window) may have been otherwise.
        """
        self.stages.check_past(_WAY_OUT)
        for now, shown in self._passed():
            self._check(now, shown)

    def _passed(self) -> list[tuple[Position, Shown]]:
        """Return the past, and what was in force at those moments of it that only this course names."""
        steps = [
            int(time.number)
            for _, window in self.appearance.windows
            for time in window
            if time.unit == "st"
        ]
        named = []
        for step in steps:
            if self.last and step <= self.last.step:
                now, shown = [entry for entry in self.past if entry[0].step <= step][-1]
                named.append((now._replace(step=step), shown))
        return [*self.past, *named, *([(self.last, self.past[-1][1])] if self.last else [])]

    def _check(self, now: Position, shown: Shown) -> None:
        look, stage = self.appearance, self.stages.stage(now.epoch)
        if self.stages.growth and (stage, self.stages.sizes[stage]) != shown[:2]:
            raise UserError(
                "growth",
                problem=(
                    f"at epoch {now.epoch} the checkpoint was trained on {shown.examples} examples in "
                    f"stage {shown.stage}, here it is {self.stages.sizes[stage]} in stage {stage}"
                ),
                fix=_WAY_OUT,
            )
        acting = look.impairments(now)
        for name, deficit in zip(look.names, look.deficits, strict=True):
            if (name in acting) != (name in shown.deficits):
                been = "with" if name in shown.deficits else "without"
                raise UserError(
                    "during",
                    value=deficit.during,
                    problem=f"{_at(now)} the checkpoint was trained {been} {name}",
                    fix=_WAY_OUT,
                )
        if look.augmentation_during and look.augmented(now) != shown.augmented:
            been = "with" if shown.augmented else "without"
            window = look.augmentation_during
            raise UserError(
                "augmentation_during",
                value=window,
                problem=f"{_at(now)} the checkpoint was trained {been} augmentation",
                fix=_WAY_OUT,
            )


def _at(now: Position) -> str:
    return f"at epoch {now.epoch} (step {now.step})"
