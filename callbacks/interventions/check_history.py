"""Check that a resumed run's interventions agree with those already applied."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from callbacks.clock import Act, Clock
from callbacks.interventions.base import Level, OneShot
from callbacks.interventions.planned_actions import interventions
from callbacks.interventions.rewind import Rewind
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Position, Time

_FIX = "what has passed cannot be changed: start a new run, or name a later time"


def check_history(trainer: Trainer, module: LightningModule, states: Mapping[str, Any]) -> None:
    """Raise UserError if an intervention contradicts what was done to the run of a checkpoint.

    Args:
        trainer: the run's.
        module: what is trained.
        states: the checkpoint's states of callbacks.
    """
    clock = Clock()
    if "Clock" in states:
        clock.load_state_dict(states["Clock"])
    data = getattr(trainer, "datamodule", None)
    if clock.last is None and isinstance(data, ImageDataModule):
        clock.last = data.schedule.last
    if clock.last is None:
        return
    epochs = trainer.max_epochs or 0
    for intervention in interventions(trainer):
        acts = [act for act in clock.acts if act.name == repr(intervention)]
        if isinstance(intervention, OneShot):
            check_acts(intervention, acts, clock.last, epochs)
        if isinstance(intervention, Level):
            check_levels(intervention, acts, clock.last, epochs)
        if isinstance(intervention, Rewind) and intervention.to.reached(clock.last, epochs):
            state = states.get(intervention.state_key, {})
            intervention.check_snapshot(module, state.get("kept"))


def check_acts(intervention: OneShot, acts: Sequence[Act], last: Position, epochs: int) -> None:
    """Raise UserError unless a one-shot acted in the past at its moments and at no others."""
    name = type(intervention).__name__
    moments = []
    for time in intervention.at:
        if time.unit == "stages":
            moments += [Time(f"stage{stage}") for stage in range(1, last.stage + 1)]
        else:
            moments.append(time)

    # Every action in the past is one of this config.
    for act in acts:
        if not any(time.crossed(act.before, act.where, epochs) for time in moments):
            raise UserError(
                name,
                problem=(
                    f"the checkpoint already applied it at epoch {act.where.epoch}, but this "
                    "config does not"
                ),
                fix="add that time to `at`, or start a new run",
            )

    # Every moment in the past has had its action.
    for time in moments:
        applied = any(time.crossed(act.before, act.where, epochs) for act in acts)
        if time.reached(last, epochs) and not applied:
            raise UserError(
                f"{name}: at",
                value=time,
                problem=f"is before the checkpoint (epoch {last.epoch}), which did not apply it",
                fix="set a later time, or start a new run",
            )


def check_levels(intervention: Level, acts: Sequence[Act], last: Position, epochs: int) -> None:
    """Raise UserError unless a level had its values in the past when it declares."""
    name, levels = type(intervention).__name__, intervention.levels

    # Every change in the past is one of this config.
    value = None
    for act in acts:
        before = levels.at(act.before, epochs) if act.before else None
        if before != value or levels.at(act.where, epochs) != act.value:
            raise UserError(
                name,
                problem=(
                    f"the checkpoint set {act.value} at epoch {act.where.epoch}, but this config "
                    "does not"
                ),
                fix=_FIX,
            )
        value = act.value
    if (expected := levels.at(last, epochs)) != value:
        raise UserError(
            name,
            problem=f"{expected} is active in this config at the checkpoint, which had {value}",
            fix=_FIX,
        )

    # Every change of this config in the past has been made.
    earlier_values = [None, *(value for _, value in levels.entries)]
    for (time, value), earlier in zip(levels.entries, earlier_values, strict=False):
        made = value == earlier or any(time.crossed(act.before, act.where, epochs) for act in acts)
        if time.reached(last, epochs) and not made:
            raise UserError(
                name,
                value=time,
                problem=(
                    f"is before the checkpoint (epoch {last.epoch}), which did not set {value}"
                ),
                fix=_FIX,
            )
