"""When interventions of a run act, known before it runs."""

from collections.abc import Sequence
from itertools import pairwise

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.interventions.base import Level, OneShot
from callbacks.interventions.norm_recalibration import NormRecalibration
from callbacks.interventions.rewind import Rewind
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Position, Time

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
    return (
        []
        if isinstance(one, NormRecalibration)
        else [*one.at, *([one.to] if isinstance(one, Rewind) else [])]
    )


def check_interventions(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for an intervention that this run has no use for or never reaches."""
    data, epochs = getattr(trainer, "datamodule", None), trainer.max_epochs or 0
    named = [repr(one) for one in interventions(trainer)]
    if named and epochs < 1:
        raise UserError(
            "max_epochs",
            value=trainer.max_epochs,
            problem="interventions need the number of epochs",
            fix="write it",
        )
    for one in interventions(trainer):
        if named.count(repr(one)) > 1:
            raise UserError(
                f"{one!r}",
                problem="stands twice in callbacks",
                fix="write it once, with all its times",
            )
        one.check(trainer, module)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper
            continue
        last = Position(epochs - 1, _MANY)
        if isinstance(data, ImageDataModule):
            end = data.plan(trainer).latest()
            last = end._replace(epoch=end.epoch - 1, step=end.step - 1)
        if isinstance(one, Rewind):
            check_order(one, trainer)
        for time in times(one):
            if not time.reached(last, epochs):
                raise UserError(
                    type(one).__name__,
                    time,
                    f"is never reached: the run's last batch is {_place(last)}",
                )


def check_order(one: Rewind, trainer: Trainer) -> None:
    """Raise UserError if a rewind acts no later than the state is taken, or may do so."""
    data, epochs = getattr(trainer, "datamodule", None), trainer.max_epochs or 0
    if isinstance(data, ImageDataModule) and not (data.growth and data.growth.until):
        path = data.plan(trainer).positions(times(one))
    else:
        kinds = {
            "epochs" if time.unit in ("ep", "%") else time.unit.removesuffix("s")
            for time in times(one)
        }
        if len(kinds) > 1:
            raise UserError(
                "Rewind: to",
                value=one.to,
                problem="whether at lies after it is not known before the run",
                fix="write both in one unit",
            )
        path = [Position(epoch, 0) for epoch in range(epochs + 1)]
    taken = next((now for now in path if one.to.reached(now, epochs)), path[-1])
    for before, now in pairwise([None, *path[:-1]]):
        assert now is not None
        if now <= taken and any(time.crossed(before, now, epochs) for time in one.at):
            raise UserError(
                "Rewind: to",
                value=one.to,
                problem=f"must lie before every moment of at, and does not before epoch {now.epoch}",
            )


def _place(last: Position) -> str:
    return f"of epoch {last.epoch}, stage {last.stage}; write an earlier time"


def events(trainer: Trainer, path: Sequence[Position]) -> dict[Position, list[str]]:
    """Return what is done at which position of a run."""
    epochs, done = trainer.max_epochs or 0, dict[Position, list[str]]()
    for one in interventions(trainer):
        for before, now in pairwise([None, *path[:-1]]):
            assert now is not None
            if isinstance(one, OneShot) and any(
                time.crossed(before, now, epochs) for time in one.at
            ):
                done.setdefault(now, []).append(repr(one))
            if isinstance(one, Level):
                value = one.levels.at(now, epochs)
                if value is not None and (before is None or one.levels.at(before, epochs) != value):
                    done.setdefault(now, []).append(f"{one!r}: {value}")
    return done
