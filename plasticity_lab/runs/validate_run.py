"""Checks of a run once everything is built, before anything is trained or written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.clock import Clock, check_times, run_schedule
from callbacks.diagnostics import TimeToAccuracy
from callbacks.diagnostics.base import Diagnostic, check_diagnostics
from callbacks.interventions.base import check_interventions, interventions_of
from datamodules import ImageDataModule
from lightning_modules import Supervised
from lightning_modules.fitting import check_fit
from plasticity_lab.errors import UserError
from plasticity_lab.runs.file_names import CONFIG
from plasticity_lab.runs.resumable import check_resumable
from plasticity_lab.runs.trainer_checks import check_trainer


def validate_run(
    trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any] | None
) -> None:
    """Raise UserError for what the run lacks, never reaches, or contradicts in its checkpoint.

    Args:
        trainer: the run's, with its data module attached.
        module: the module.
        checkpoint: what the run starts from; None for a new run.
    """
    check_trainer(trainer, module)

    # The data.
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
    if isinstance(data, ImageDataModule):
        data.check(trainer, module)
        if isinstance(module, Supervised):
            _check_precision(module, trainer)
            module.objective.check(data.splits.train.targets, data.num_classes)
            check_fit(module.network, data.splits.train.shape, data.num_outputs)
            _check_doubles(module, data, trainer)

    # The training rule, which may run the network.
    if isinstance(module, Supervised):
        module.rule.check(trainer, module)

    # The callbacks.
    check_resumable(trainer)
    check_interventions(trainer, module)
    check_diagnostics(trainer, module)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by a helper of Trainer
        if isinstance(callback, TimeToAccuracy):
            callback.check(trainer, module)

    # What acts over time, and what has been done to the run of the checkpoint.
    run_schedule(trainer).check_length(trainer.max_epochs)
    check_times(trainer)
    if checkpoint:
        check_history(trainer, module, checkpoint["callbacks"])


def check_history(trainer: Trainer, module: LightningModule, states: Mapping[str, Any]) -> None:
    """Raise UserError for a run that contradicts the past of the checkpoint that it starts from.

    Args:
        trainer: the run's.
        module: what is trained.
        states: the checkpoint's states of callbacks.
    """
    if "Clock" not in states:
        return
    clock = Clock()
    clock.load_state_dict(states["Clock"])
    clock.check_history(trainer)
    interventions = interventions_of(trainer)
    for callback in interventions:
        callback.check_state(module, states.get(callback.state_key, {}))

    keys = {callback.state_key for callback in interventions}
    for key, state in states.items():
        if key not in keys and isinstance(state, Mapping) and state.get("still_acts"):
            raise UserError(
                "callbacks",
                problem=f"the checkpoint's {key} still acts, and this run does not have it",
                fix="keep it, with the same arguments; its moments may differ",
            )


def _check_precision(module: Supervised, trainer: Trainer) -> None:
    """Raise UserError for a network that was made in another precision than batches have."""
    kinds = {parameter.dtype for parameter in module.network.parameters()} - {torch.float32}
    if kinds and str(trainer.precision) not in ("64-true", "bf16-true", "16-true"):
        name = type(module.network).__name__
        raise UserError(
            "network",
            value=name,
            problem=f"has parameters of {kinds.pop()}, and batches are of torch.float32",
            fix="let trainer.precision convert it",
        )


def _check_doubles(module: Supervised, data: ImageDataModule, trainer: Trainer) -> None:
    """Raise UserError for inputs in double precision that the network cannot take."""
    train = data.splits.train
    kind = data.normalise(train.__getitems__([0]).to(data.device)).dtype
    if kind != torch.float64 or str(trainer.precision) in ("64-true", "bf16-true", "16-true"):
        return
    try:
        check_fit(module.network, train.shape, data.num_outputs, kind)
    except UserError as error:
        raise UserError(
            "dataset",
            value=type(data.dataset).__name__,
            problem=f"has inputs of {kind}, and the network is of torch.float32",
            fix="convert them by .float()",
        ) from error


def check_length_left(trainer: Trainer, checkpoint: dict[str, Any], path: Path | None) -> None:
    """Raise UserError for a branch whose checkpoint is already at the end of training.

    Args:
        trainer: the run's.
        checkpoint: what it branches off.
        path: the checkpoint's file.
    """
    consequence = "so nothing would be trained or measured"
    trained = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trained:
        raise UserError(
            "max_epochs",
            value=trainer.max_epochs,
            problem=f"{path} has trained {trained} epochs already, {consequence}",
            fix="set a larger value",
        )
    steps = checkpoint["global_step"]
    if 0 <= trainer.max_steps <= steps:
        raise UserError(
            "max_steps",
            value=trainer.max_steps,
            problem=f"{path} has taken {steps} steps already, {consequence}",
            fix="set a larger value",
        )


def check_evaluation(trainer: Trainer, directory: Path, command: str) -> None:
    """Raise UserError for diagnostics that are added to `validate` or `test`.

    They measure while a run trains, and would log nothing.

    Args:
        trainer: the command's.
        directory: of the run that is measured.
        command: `validate`, `test` or `predict`.
    """
    config = directory / CONFIG
    trained_with = config.read_text() if config.is_file() else ""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, Diagnostic) and name not in trained_with:
            raise UserError(
                "callbacks",
                value=name,
                problem=f"measures while a run trains, and {command} trains nothing",
                fix="add it to fit instead",
            )
