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

WAY_OUT = "what has passed cannot be changed: start afresh, or name a later time"


def check_past(trainer: Trainer, module: LightningModule, states: Mapping[str, Any]) -> None:
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
    clock.last = clock.last or (data.schedule.last if isinstance(data, ImageDataModule) else None)
    if clock.last is None:
        return
    for one in interventions(trainer):
        acts = [act for act in clock.acts if act.name == repr(one)]
        if isinstance(one, OneShot):
            check_acts(one, acts, clock.last, trainer.max_epochs or 0)
        if isinstance(one, Level):
            check_levels(one, acts, clock.last, trainer.max_epochs or 0)
        if isinstance(one, Rewind) and one.to.reached(clock.last, trainer.max_epochs or 0):
            one.check_snapshot(module, states.get(one.state_key, {}).get("kept"))


def check_acts(one: OneShot, acts: Sequence[Act], last: Position, epochs: int) -> None:
    """Raise UserError unless a one-shot acted in the past at its moments and at no others."""
    stages = [Time(f"stage{stage}") for stage in range(1, last.stage + 1)]
    moments = [
        single for time in one.at for single in (stages if time.unit == "stages" else [time])
    ]
    for act in acts:
        if not any(time.crossed(act.before, act.where, epochs) for time in moments):
            raise UserError(
                type(one).__name__,
                problem=f"at epoch {act.where.epoch} the checkpoint had it, here it has not",
                fix=WAY_OUT,
            )
    for time in moments:
        if time.reached(last, epochs) and not any(
            time.crossed(act.before, act.where, epochs) for act in acts
        ):
            raise UserError(
                f"{type(one).__name__}: at",
                value=time,
                problem="has passed without it at the checkpoint",
                fix=WAY_OUT,
            )


def check_levels(one: Level, acts: Sequence[Act], last: Position, epochs: int) -> None:
    """Raise UserError unless a level had its values in the past when it says."""
    before = None
    for act in acts:
        then = one.levels.at(act.before, epochs) if act.before else None
        if (then, one.levels.at(act.where, epochs)) != (before, act.value):
            raise UserError(
                type(one).__name__,
                problem=f"at epoch {act.where.epoch} {act.value} began in the checkpoint",
                fix=WAY_OUT,
            )
        before = act.value
    if (here := one.levels.at(last, epochs)) != before:
        raise UserError(
            type(one).__name__,
            problem=f"at the checkpoint {here} is active here, {before} was there",
            fix=WAY_OUT,
        )
    values = [None, *(value for _, value in one.levels.entries)]
    for (time, value), earlier in zip(one.levels.entries, values, strict=False):
        known = value == earlier or any(time.crossed(act.before, act.where, epochs) for act in acts)
        if time.reached(last, epochs) and not known:
            raise UserError(
                type(one).__name__,
                value=time,
                problem=f"has passed without {value} at the checkpoint",
                fix=WAY_OUT,
            )
