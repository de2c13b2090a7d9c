"""What the network is shown over time, and has been shown so far."""

from typing import Any, NamedTuple

from datamodules.appearance import Appearance
from datamodules.stages import Stages
from errors import UserError
from timing import Position

_WAY_OUT = "what has passed cannot be changed: start afresh, or name a later time"


class Shown(NamedTuple):
    """What is in force at a moment.

    Attributes:
        stage: data stage.
        examples: number of training examples in it.
        deficits: the deficits, with their arguments.
        augmented: whether training images are augmented.
    """

    stage: int
    examples: int
    deficits: tuple[str, ...]
    augmented: bool


class Course:
    """What the network is shown over time: which examples, and how they look.

    What was in force is noted at each epoch's first batch and whenever it changes, and is part of every checkpoint, so that a run
    that goes on from one cannot contradict its past.

    Args:
        stages: which examples.
        appearance: how they look.

    Attributes:
        past: what was in force when, from the run's first batch on.
        trained: whether a batch has been trained since the run began or was gone on with.
    """

    def __init__(self, stages: Stages, appearance: Appearance) -> None:
        self.stages, self.appearance = stages, appearance
        self.past: list[tuple[Position, Shown]] = []
        self.trained = False

    def in_force(self, now: Position) -> Shown:
        """Return what is in force at a moment."""
        deficits = tuple(map(repr, self.appearance.acting(now)))
        return Shown(now.stage, self.stages.sizes[now.stage], deficits, self.appearance.augments(now))

    def note(self, now: Position) -> None:
        """Note what is in force at a batch about to be trained."""
        shown, self.trained = self.in_force(now), True
        if not self.past or self.past[-1][0].epoch != now.epoch or self.past[-1][1] != shown:
            self.past.append((now, shown))

    def state_dict(self) -> dict[str, Any]:
        """Return the past, as plain values."""
        past = [[list(now), [shown.stage, shown.examples, list(shown.deficits), shown.augmented]] for now, shown in self.past]
        return {"past": past, "stages": self.stages.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's past."""
        self.stages.load_state_dict(state["stages"])
        self.past = [
            (Position(*now), Shown(stage, examples, tuple(deficits), augmented))
            for now, (stage, examples, deficits, augmented) in state["past"]
        ]

    def check_past(self) -> None:
        """Raise UserError if this course has something else for a moment that has passed."""
        been, last = len(self.stages.starts), len(self.stages.sizes) - 1
        if been > last:
            raise UserError(f"growth: the checkpoint was trained in stage {been}, here the last is {last}; {_WAY_OUT}")
        for now, shown in self.past:
            self._check(now, shown)

    def _check(self, now: Position, shown: Shown) -> None:
        look, growth = self.appearance, self.stages.growth
        stage = self.stages.stage(now.epoch)
        if growth and (stage, self.stages.sizes[stage]) != shown[:2]:
            raise UserError(
                f"growth: at epoch {now.epoch} the checkpoint was trained on {shown.examples} examples in stage {shown.stage}, "
                f"here it is {self.stages.sizes[stage]} in stage {stage}; {_WAY_OUT}"
            )
        for deficit in look.deficits:
            if deficit.during.open(now, look.epochs) != (repr(deficit) in shown.deficits):
                been = "with" if repr(deficit) in shown.deficits else "without"
                raise UserError(
                    f"during: {deficit.during}: at epoch {now.epoch} the checkpoint was trained {been} {deficit!r}; {_WAY_OUT}"
                )
        if look.augmentation_during and look.augments(now) != shown.augmented:
            been = "with" if shown.augmented else "without"
            raise UserError(
                f"augmentation_during: {look.augmentation_during}: at epoch {now.epoch} the checkpoint was trained {been} "
                f"augmentation; {_WAY_OUT}"
            )
