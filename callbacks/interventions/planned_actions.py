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
    kinds = OneShot | Level | NormRecalibration
    return [callback for callback in callbacks if isinstance(callback, kinds)]


def times(intervention: OneShot | Level | NormRecalibration) -> list[Time]:
    """Return the moments that an intervention names."""
    return [] if isinstance(intervention, NormRecalibration) else intervention.times()


def check_interventions(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for an intervention that this run has no use for or never reaches."""
    epochs = trainer.max_epochs or 0
    names = [repr(intervention) for intervention in interventions(trainer)]
    if names and epochs < 1:
        raise UserError(
            "max_epochs",
            value=trainer.max_epochs,
            problem="interventions need the number of epochs",
            fix="set it",
        )

    for intervention in interventions(trainer):
        if names.count(repr(intervention)) > 1:
            raise UserError(
                f"{intervention!r}",
                problem="stands twice in callbacks",
                fix="list it once, with all its times",
            )
        intervention.check(trainer, module)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper
            continue
        if isinstance(intervention, Rewind):
            check_order(intervention, trainer)
        last = _last_batch(trainer)
        for time in times(intervention):
            if not time.reached(last, epochs):
                raise UserError(
                    type(intervention).__name__,
                    value=time,
                    problem=(
                        "is never reached: the run's last batch is of "
                        f"epoch {last.epoch}, stage {last.stage}"
                    ),
                    fix="set an earlier time",
                )


def _last_batch(trainer: Trainer) -> Position:
    """Return the latest position that the last batch of a run can have."""
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ImageDataModule):
        return Position((trainer.max_epochs or 0) - 1, _MANY)
    end = data.plan(trainer).latest()
    return end._replace(epoch=end.epoch - 1, step=end.step - 1)


def check_order(rewind: Rewind, trainer: Trainer) -> None:
    """Raise UserError if a rewind acts no later than the state is taken, or may do so."""
    data = getattr(trainer, "datamodule", None)
    epochs = trainer.max_epochs or 0

    # All positions of the run at which something happens, as far as they are known.
    if isinstance(data, ImageDataModule) and not (data.growth and data.growth.until):
        path = data.plan(trainer).positions(times(rewind))
    else:
        kinds = {
            "epochs" if time.unit in ("ep", "%") else time.unit.removesuffix("s")
            for time in times(rewind)
        }
        if len(kinds) > 1:
            raise UserError(
                "Rewind: to",
                value=rewind.to,
                problem="whether at lies after it is not known before the run",
                fix="set both in one unit",
            )
        path = [Position(epoch, 0) for epoch in range(epochs + 1)]

    taken = next((now for now in path if rewind.to.reached(now, epochs)), path[-1])
    for before, now in pairwise([None, *path[:-1]]):
        assert now is not None
        if now <= taken and any(time.crossed(before, now, epochs) for time in rewind.at):
            raise UserError(
                "Rewind: to",
                value=rewind.to,
                problem=(
                    f"must lie before every moment of at, and does not before epoch {now.epoch}"
                ),
            )


def planned_actions(trainer: Trainer, path: Sequence[Position]) -> dict[Position, list[str]]:
    """Return what is done at which position of a run."""
    epochs = trainer.max_epochs or 0
    actions: dict[Position, list[str]] = {}
    for intervention in interventions(trainer):
        for before, now in pairwise([None, *path[:-1]]):
            assert now is not None
            if isinstance(intervention, OneShot) and any(
                time.crossed(before, now, epochs) for time in intervention.at
            ):
                actions.setdefault(now, []).append(repr(intervention))
            if isinstance(intervention, Level):
                value = intervention.levels.at(now, epochs)
                earlier = intervention.levels.at(before, epochs) if before else None
                if value is not None and value != earlier:
                    actions.setdefault(now, []).append(f"{intervention!r}: {value}")
    return actions
