"""What is asked of a run once everything is built and before anything is trained or written."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer

from callbacks.diagnostics import TimeToAccuracy
from callbacks.diagnostics.base import check_diagnostics
from callbacks.interventions.moments import check_interventions, events, interventions, times
from callbacks.interventions.past import check_past
from datamodules import ImageDataModule, timeline
from datamodules.checks import check_run
from errors import UserError
from resumable import check_resumable


def check(trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any] | None) -> None:
    """Raise UserError for what the run does not have, never reaches, or contradicts in the checkpoint it goes on from.

    Args:
        trainer: the run's, with its data module attached.
        module: the module.
        checkpoint: what the run goes on from; None for a new run.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
    if isinstance(data, ImageDataModule):
        check_run(data, trainer, module)
        if checkpoint and (past := checkpoint.get(type(data).__qualname__)):
            data.load_state_dict(past)
            data.course.check_past()
    check_resumable(trainer)
    check_interventions(trainer, module)
    check_diagnostics(trainer, module)
    for one in trainer.callbacks:  # type: ignore[attr-defined]  # set by a helper of Trainer
        if isinstance(one, TimeToAccuracy):
            one.check(trainer)
    if checkpoint:
        check_past(trainer, module, checkpoint["callbacks"])


def schedule(trainer: Trainer) -> str:
    """Return the run's schedule as text.

    Raises:
        UserError: for another data module than `ImageDataModule`.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, ImageDataModule):
        raise UserError(f"print_timeline: {type(data).__name__} has none; use datamodules.ImageDataModule")
    named = [time for one in interventions(trainer) for time in times(one)]
    path = timeline.positions(data, trainer, named)
    return timeline.table(data, trainer, path, events(trainer, path))
