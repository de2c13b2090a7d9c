"""What is asked of a run once everything is built and before anything is trained or written."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.diagnostics import TimeToAccuracy
from callbacks.diagnostics.base import Diagnostic, check_diagnostics
from callbacks.interventions.check_history import check_past
from callbacks.interventions.planned_actions import (
    check_interventions,
    events,
    interventions,
    times,
)
from datamodules import ImageDataModule
from lightning_modules import Supervised
from lightning_modules.fitting import check_fit
from plasticity_lab.errors import UserError
from plasticity_lab.runs.resumable import check_resumable
from plasticity_lab.runs.run_directory import CONFIG
from plasticity_lab.runs.trainer_checks import check_trainer


def validate_run(
    trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any] | None
) -> None:
    """Raise UserError for what the run does not have, never reaches, or contradicts in the checkpoint it goes on from.

    Args:
        trainer: the run's, with its data module attached.
        module: the module.
        checkpoint: what the run goes on from; None for a new run.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
    check_trainer(trainer, module)
    if isinstance(module, Supervised):
        module.rule.check(trainer)
    if isinstance(data, ImageDataModule):
        data.check(trainer, module)
        if isinstance(module, Supervised):
            _check_precision(module, trainer)
            module.objective.check(data.splits.train.targets, data.num_classes)
            check_fit(module.network, data.splits.train.shape, data.num_outputs)
        if checkpoint and (past := checkpoint.get(type(data).__qualname__)):
            data.load_state_dict(past)
            data.schedule.check_history()
    check_resumable(trainer)
    check_interventions(trainer, module)
    check_diagnostics(trainer, module)
    for one in trainer.callbacks:  # type: ignore[attr-defined]  # set by a helper of Trainer
        if isinstance(one, TimeToAccuracy):
            one.check(trainer, module)
    if checkpoint:
        check_past(trainer, module, checkpoint["callbacks"])


def _check_precision(module: Supervised, trainer: Trainer) -> None:
    """Raise UserError for a network that was made in another precision than batches have."""
    kinds = {parameter.dtype for parameter in module.network.parameters()} - {torch.float32}
    if kinds and str(trainer.precision) not in ("64-true", "bf16-true", "16-true"):
        name = type(module.network).__name__
        raise UserError(
            "network",
            value=name,
            problem=f"has parameters of {kinds.pop()}, and batches are of torch.float32",
            fix="leave that to trainer.precision",
        )


def check_length_left(trainer: Trainer, checkpoint: dict[str, Any], path: Path | None) -> None:
    """Raise UserError for a branch that would train nothing, since its checkpoint is already at the end.

    Args:
        trainer: the run's.
        checkpoint: what it branches off.
        path: the checkpoint's file.
    """
    done, steps = (
        checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"],
        checkpoint["global_step"],
    )
    epochs = trainer.max_epochs
    if epochs is not None and 0 <= epochs <= done:
        raise UserError(
            "max_epochs",
            value=epochs,
            problem=f"{path} has trained {done} epochs already, so nothing would be trained or measured",
            fix="write more",
        )
    if 0 <= trainer.max_steps <= steps:
        raise UserError(
            "max_steps",
            value=trainer.max_steps,
            problem=f"{path} has taken {steps} steps already, so nothing would be trained or measured",
            fix="write more",
        )


def check_evaluation(trainer: Trainer, directory: Path, command: str) -> None:
    """Raise UserError for diagnostics that a trained run itself did not have: they measure while it trains, and would be silent.

    Args:
        trainer: the command's.
        directory: of the run that is measured.
        command: `validate`, `test` or `predict`.
    """
    run = directory / CONFIG
    trained_with = run.read_text() if run.is_file() else ""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    for one in callbacks:
        name = type(one).__name__
        if isinstance(one, Diagnostic) and name not in trained_with:
            raise UserError(
                "callbacks",
                value=name,
                problem=f"measures while a run trains, and {command} trains nothing",
                fix="add it to fit instead",
            )


def timeline_table(trainer: Trainer) -> str:
    """Return the run's schedule as text.

    Raises:
        UserError: for another data module than `ImageDataModule`.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, ImageDataModule):
        raise UserError(
            "print_timeline",
            problem=f"{type(data).__name__} has none",
            fix="use datamodules.ImageDataModule",
        )
    named = [time for one in interventions(trainer) for time in times(one)]
    plan = data.plan(trainer)
    path = plan.positions(named)
    return plan.table(path, events(trainer, path))
