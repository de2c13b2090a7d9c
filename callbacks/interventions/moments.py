"""When interventions of a run act, known before it runs."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.clock import Clock
from callbacks.interventions.base import Level, OneShot
from callbacks.interventions.norm_recalibration import NormRecalibration
from callbacks.interventions.rewind import Rewind
from datamodules import ImageDataModule
from datamodules.timeline import positions
from errors import UserError
from timing import Position, Time

_MANY = 10**12
"""More steps than any run has."""


def interventions(trainer: Trainer) -> list[OneShot | Level | NormRecalibration]:
    """Return a run's interventions, in the order in which they act."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    return [one for one in callbacks if isinstance(one, OneShot | Level | NormRecalibration)]


def times(one: OneShot | Level | NormRecalibration) -> list[Time]:
    """Return the moments that an intervention names."""
    if isinstance(one, Level):
        return [time for time, _ in one.levels.entries]
    return [] if isinstance(one, NormRecalibration) else [*one.at, *([one.to] if isinstance(one, Rewind) else [])]


def check_interventions(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for an intervention that this run has no use for or never reaches."""
    data, epochs = getattr(trainer, "datamodule", None), trainer.max_epochs or 0
    named = [repr(one) for one in interventions(trainer)]
    if named and epochs < 1:
        raise UserError(f"max_epochs: {trainer.max_epochs}: interventions need the number of epochs; write it")
    for one in interventions(trainer):
        if named.count(repr(one)) > 1:
            raise UserError(f"{one!r}: stands twice in callbacks; write it once, with all its times")
        one.check(trainer, module)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper
            continue
        last = Position(epochs - 1, _MANY)
        if isinstance(data, ImageDataModule):
            path = positions(data, trainer, times(one))
            last = path[-2:][0]
            if data.growth and data.growth.until:
                last = last._replace(step=_MANY, stage=len(data.course.stages.sizes) - 1)  # no run gets further
            if isinstance(one, Rewind):
                check_order(one, path, epochs)
        for time in times(one):
            if not time.reached(last, epochs):
                raise UserError(f"{type(one).__name__}: {time}: is never reached: the run's last batch is {_place(last)}")


def check_order(one: Rewind, path: Sequence[Position], epochs: int) -> None:
    """Raise UserError if a rewind acts no later than the state is taken."""
    taken = next((now for now in path if one.to.reached(now, epochs)), path[-1])
    for before, now in pairwise([None, *path[:-1]]):
        assert now is not None
        if now <= taken and any(time.crossed(before, now, epochs) for time in one.at):
            raise UserError(f"Rewind: to: {one.to}: must lie before every moment of at, and does not before epoch {now.epoch}")


def check_past(trainer: Trainer, states: Mapping[str, Any]) -> None:
    """Raise UserError if an intervention names a moment that a checkpoint has passed without it.

    Args:
        trainer: the run's.
        states: the checkpoint's states of callbacks.
    """
    clock = Clock()
    if "Clock" in states:
        clock.load_state_dict(states["Clock"])
    data = getattr(trainer, "datamodule", None)
    clock.last = clock.last or (data.course.last if isinstance(data, ImageDataModule) else None)
    if clock.last is None:
        return
    epochs, way_out = trainer.max_epochs or 0, "what has passed cannot be changed: start afresh, or name a later time"
    for one in interventions(trainer):
        acts = [act for act in clock.acts if act.name == repr(one)]
        if isinstance(one, Level):
            held, here = acts[-1].value if acts else None, one.levels.at(clock.last, epochs)
            if held != here:
                raise UserError(f"{type(one).__name__}: at the checkpoint {here} is in force here, {held} was there; {way_out}")
        if isinstance(one, Rewind) and one.to.reached(clock.last, epochs) and one.state_key not in states:
            raise UserError(f"Rewind: to: {one.to}: has passed at the checkpoint, which does not hold that state; {way_out}")
        moments = expanded(one.at, clock.last) if isinstance(one, OneShot) else []
        for act in acts if isinstance(one, OneShot) else ():
            if not any(begins(time, act.where, epochs) for time in moments):
                raise UserError(
                    f"{type(one).__name__}: at epoch {act.where.epoch} the checkpoint had it, here it has not; {way_out}"
                )
        for time in moments:
            passed = time.reached(clock.last, epochs)
            if passed and not any(begins(time, act.where, epochs) for act in acts):
                raise UserError(f"{type(one).__name__}: at: {time}: has passed without it at the checkpoint; {way_out}")


def _place(last: Position) -> str:
    return f"of epoch {last.epoch}, stage {last.stage}; write an earlier time"


def expanded(moments: Iterable[Time], last: Position) -> list[Time]:
    """Return moments with `stages` written out as far as they have come."""
    stages = [Time(f"stage{stage}") for stage in range(1, last.stage + 1)]
    return [single for time in moments for single in (stages if time.unit == "stages" else [time])]


def begins(time: Time, where: Position, epochs: int) -> bool:
    """Whether a position is the first at or after a moment, as far as the position alone can tell."""
    before = Position(where.epoch - 1, where.step - 1, where.stage - 1)
    return time.reached(where, epochs) and not time.reached(before, epochs)


def events(trainer: Trainer, path: Sequence[Position]) -> dict[Position, list[str]]:
    """Return what is done at which position of a run."""
    epochs, done = trainer.max_epochs or 0, dict[Position, list[str]]()
    for one in interventions(trainer):
        for before, now in pairwise([None, *path[:-1]]):
            assert now is not None
            if isinstance(one, OneShot) and any(time.crossed(before, now, epochs) for time in one.at):
                done.setdefault(now, []).append(repr(one))
            if isinstance(one, Level):
                value = one.levels.at(now, epochs)
                if value is not None and (before is None or one.levels.at(before, epochs) != value):
                    done.setdefault(now, []).append(f"{one!r}: {value}")
    return done
