"""What the network is shown over time, and has been shown so far."""

from typing import Any, NamedTuple

from datamodules.growth.stage_schedule import StageSchedule
from datamodules.transforms.batch_transforms import BatchTransforms
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Position

_WAY_OUT = "what has passed cannot be changed: start a new run, or name a later time"


class DataState(NamedTuple):
    """What is active at a moment.

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


class DataSchedule:
    """What the network is shown over time: which examples, and how they look.

    Records what was active at each epoch's first batch and whenever it changes, and saves it in
    checkpoints, so that a resumed run whose config contradicts its own history is refused.

    Args:
        stages: which examples.
        transforms: how they look.

    Attributes:
        history: what was active when, from the run's first batch on.
        last: where the last batch was trained; None before the first.
        trained: whether a batch has been trained since the run began or was resumed.
    """

    def __init__(self, stages: StageSchedule, transforms: BatchTransforms) -> None:
        self.stages, self.transforms = stages, transforms
        self.history: list[tuple[Position, DataState]] = []
        self.last: Position | None = None
        self.trained = False

    def in_force(self, now: Position) -> DataState:
        """Return what is active at a moment."""
        names, share = self.transforms.active_names(now), self.transforms.augmented(now)
        return DataState(now.stage, self.stages.sizes[now.stage], names, share)

    def record(self, now: Position) -> None:
        """Record what is active at a batch about to be trained."""
        shown, self.last, self.trained = self.in_force(now), now, True
        if (
            not self.history
            or self.history[-1][0].epoch != now.epoch
            or self.history[-1][1] != shown
        ):
            self.history.append((now, shown))

    def state_dict(self) -> dict[str, Any]:
        """Return the past, as plain values."""
        past = [
            [list(now), [shown.stage, shown.examples, list(shown.deficits), shown.augmented]]
            for now, shown in self.history
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
        self.history = [
            (Position(*now), DataState(stage, examples, tuple(deficits), augmented))
            for now, (stage, examples, deficits, augmented) in state["past"]
        ]

    def check_history(self) -> None:
        """Raise UserError if this schedule disagrees with the recorded history.

        Anything that it does not mention is ignored.

        What it does not time at all (a deficit that it does not have, augmentation without a
        window) may have been otherwise.
        """
        self.stages.check_history(_WAY_OUT)
        for now, shown in self._passed():
            self._check(now, shown)

    def _passed(self) -> list[tuple[Position, DataState]]:
        """Return the history, and what was active at moments that only this schedule names."""
        steps = [
            int(time.number)
            for _, window in self.transforms.windows
            for time in window
            if time.unit == "st"
        ]
        named = []
        for step in steps:
            if self.last and step <= self.last.step:
                now, shown = [entry for entry in self.history if entry[0].step <= step][-1]
                named.append((now._replace(step=step), shown))
        return [*self.history, *named, *([(self.last, self.history[-1][1])] if self.last else [])]

    def _check(self, now: Position, shown: DataState) -> None:
        transforms, stage = self.transforms, self.stages.stage(now.epoch)
        if self.stages.growth and (stage, self.stages.sizes[stage]) != shown[:2]:
            raise UserError(
                "growth",
                problem=(
                    f"at epoch {now.epoch} the checkpoint was trained on {shown.examples} "
                    "examples in "
                    f"stage {shown.stage}, here it is {self.stages.sizes[stage]} in stage {stage}"
                ),
                fix=_WAY_OUT,
            )
        acting = transforms.active_names(now)
        for name, deficit in zip(transforms.names, transforms.deficits, strict=True):
            if (name in acting) != (name in shown.deficits):
                been = "with" if name in shown.deficits else "without"
                raise UserError(
                    "during",
                    value=deficit.during,
                    problem=f"{_at(now)} the checkpoint was trained {been} {name}",
                    fix=_WAY_OUT,
                )
        if transforms.augmentation_during and transforms.augmented(now) != shown.augmented:
            been = "with" if shown.augmented else "without"
            window = transforms.augmentation_during
            raise UserError(
                "augmentation_during",
                value=window,
                problem=f"{_at(now)} the checkpoint was trained {been} augmentation",
                fix=_WAY_OUT,
            )


def _at(now: Position) -> str:
    return f"at epoch {now.epoch} (step {now.step})"
