"""Settings that Lightning and torch would refuse only in the middle of a run."""

import math
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    DeviceStatsMonitor,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
)
from torch.optim.lr_scheduler import ReduceLROnPlateau

from callbacks.epoch_end import EpochEnd
from datamodules import ImageDataModule
from lightning_modules import ImageClassifier, Supervised
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.runs.config_checks import LARGEST

_OURS = ("callbacks.", "pytorch_lightning.", "plasticity_lab.")
"""Packages of callbacks known to log nothing to monitor, except LearningRateMonitor."""

_MOST_EPOCHS = 10_000
"""Of a schedule that is tried out."""


def check_trainer(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for settings of the trainer that the run would fail at.

    Intervals, monitors, callbacks, optimizer and schedule.

    Args:
        trainer: the run's, with its data module attached.
        module: the module.
    """
    check_intervals(trainer)
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    for callback in callbacks:
        check_callback(callback, trainer, module)
    check_monitors(trainer, module)
    if isinstance(module, Supervised):
        check_optimizer(module, trainer.strategy.root_device)
        check_schedule(module, trainer.max_epochs or 0)


def check_intervals(trainer: Trainer) -> None:
    """Raise UserError for validation that never comes or gradients that are never applied."""
    if trainer.accumulate_grad_batches < 1:
        raise UserError(
            "accumulate_grad_batches", value=trainer.accumulate_grad_batches, fix="set 1 or more"
        )
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val < 0:
        raise UserError(
            "gradient_clip_val",
            value=trainer.gradient_clip_val,
            problem="would turn gradients around",
            fix="set 0 (none) or more",
        )
    if trainer.check_val_every_n_epoch is not None and trainer.check_val_every_n_epoch < 1:
        raise UserError(
            "check_val_every_n_epoch", value=trainer.check_val_every_n_epoch, fix="set 1 or more"
        )
    # Absent where the interval is a time.
    interval = getattr(trainer, "val_check_interval", 1.0)
    if interval == 0:
        raise UserError(
            "val_check_interval",
            value=interval,
            fix="set 1 batch or more, or limit_val_batches: 0 for no validation",
        )
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
    if not isinstance(data, ImageDataModule) or trainer.limit_val_batches == 0:
        return

    # Validation after a number of batches comes only in epochs that have so many.
    counts_batches = isinstance(interval, int) and not isinstance(interval, bool)
    if not counts_batches or trainer.check_val_every_n_epoch is None:
        return
    limit = trainer.limit_train_batches
    plan = data.plan(trainer)
    for size in sorted({*data.stages.sizes(plan.max_epochs)}):
        batches = len(plan.batches(size))
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        if interval > batches:
            raise UserError(
                "val_check_interval",
                value=interval,
                problem=f"an epoch of {size} examples has {batches} batches",
                fix=(
                    "set at most as many, or set check_val_every_n_epoch: null to count batches "
                    "across epochs"
                ),
            )


def check_callback(callback: Callback, trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for a Lightning callback that cannot work with this module or machine."""
    name = type(callback).__name__
    if isinstance(callback, BackboneFinetuning) and not hasattr(module, "backbone"):
        raise UserError(
            name,
            problem=f"{type(module).__name__} has no `backbone`",
            fix="remove it, or train a module of your own that has one",
        )
    if isinstance(callback, LearningRateFinder):
        attributes = [callback._attr_name] if callback._attr_name else ["lr", "learning_rate"]
        holders = (module, module.hparams)
        if not any(hasattr(holder, key) for holder in holders for key in attributes):
            raise UserError(
                name,
                problem=(
                    f"{type(module).__name__} has no `{attributes[0]}` to set, since its optimizer "
                    "is built from the config"
                ),
                fix="remove it, and set the optimizer's lr",
            )
    if isinstance(callback, LearningRateMonitor) and not trainer.loggers:
        raise UserError(
            name,
            problem="there is no logger to log to",
            fix="remove it, or remove logger: false",
        )
    accumulates = isinstance(callback, GradientAccumulationScheduler)
    if accumulates and trainer.accumulate_grad_batches != 1:
        raise UserError(
            f"{name}: accumulate_grad_batches",
            value=trainer.accumulate_grad_batches,
            problem=f"sets what {name} sets, too",
            fix="remove one of them",
        )
    reads_cpu = isinstance(callback, DeviceStatsMonitor) and callback._cpu_stats is not False
    if reads_cpu and not find_spec("psutil"):
        raise UserError(
            name,
            problem="psutil is not installed",
            fix=f"install it (pip install psutil), or remove {name}",
        )


def metrics_of(trainer: Trainer, module: LightningModule) -> set[str] | None:
    """Return what callbacks can monitor; None if a class of the user's own may log more."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    all_builtin = all(type(callback).__module__.startswith(_OURS) for callback in callbacks)
    if not isinstance(module, Supervised) or type(module) not in (Supervised, ImageClassifier):
        return None
    if not all_builtin:
        return None
    splits = ["train"]
    if trainer.limit_val_batches:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        splits.append("val")
        if getattr(data, "also_evaluate_with_deficit", False):
            splits.append("val_deficit")
    return {f"{split}/{name}" for split in splits for name in module.train_metrics.metrics}


def check_monitors(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for a callback that monitors what is not logged, or not logged yet."""
    metrics = metrics_of(trainer, module)
    if metrics is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    logs_rates = any(isinstance(callback, LearningRateMonitor) for callback in callbacks)
    for callback in callbacks:
        # Those of this project that read a metric check themselves whether it is logged.
        if not isinstance(callback, EarlyStopping | ModelCheckpoint) or isinstance(
            callback, EpochEnd
        ):
            continue
        if not callback.monitor:
            continue
        name, monitor = type(callback).__name__, str(callback.monitor)
        if isinstance(callback, EarlyStopping) and not callback.strict:
            continue
        if isinstance(callback, ModelCheckpoint) and monitor in ("epoch", "step"):
            continue
        if monitor.startswith("lr-") and logs_rates:
            continue
        if monitor not in metrics:
            reason = "is not measured by this run"
            if monitor.startswith("diagnostics/"):
                reason = "is for loggers only"
            if not trainer.limit_val_batches and monitor.startswith("val"):
                reason = "is not measured with limit_val_batches: 0"
            raise UserError(
                f"{name}: monitor",
                value=monitor,
                problem=reason,
                fix=f"there are {', '.join(sorted(metrics))}",
            )
        if not _is_known(callback, trainer, monitor):
            moments = "training epochs" if monitor.startswith("train") else "validations"
            raise UserError(
                f"{name}: monitor",
                value=monitor,
                problem=f"is not known yet when {name} first looks at it",
                fix=f"let it look at the ends of {moments}, or validate every epoch",
            )


def _is_known(callback: EarlyStopping | ModelCheckpoint, trainer: Trainer, monitor: str) -> bool:
    """Whether a metric has been logged when a callback looks at it for the first time."""
    interval = trainer.check_val_every_n_epoch
    if interval is None:
        return True

    # Lightning decides when the callback looks, unless that is set.
    is_stopping = isinstance(callback, EarlyStopping)
    attribute = "_check_on_train_epoch_end" if is_stopping else "_save_on_train_epoch_end"
    at_epoch_end: bool | None = getattr(callback, attribute)
    if at_epoch_end is None:
        validates_once = getattr(trainer, "val_check_interval", None) == 1.0 and interval == 1
        at_epoch_end = validates_once or not trainer.limit_val_batches

    if monitor.startswith("train"):
        return at_epoch_end or interval > 1
    first = callback._every_n_epochs if isinstance(callback, ModelCheckpoint) else 1
    return not at_epoch_end or first < 1 or first >= interval


def check_optimizer(module: Supervised, device: torch.device) -> None:
    """Raise UserError for an optimizer that cannot take a step, tried on small parameters.

    They have as many axes as those of the network, to which some optimizers look.
    """
    parameters = [
        torch.nn.Parameter(torch.ones((2,) * parameter.ndim, device=device))
        for parameter in module.parameters()
    ]
    optimizer = module.optimizer(parameters)
    for group in optimizer.param_groups:
        # torch takes any number of both, with which no run can converge.
        if not 0 <= group.get("momentum", 0) < 1:
            raise UserError(
                "optimizer: momentum", value=group["momentum"], fix="set a number in [0, 1)"
            )
        if not 0 <= group.get("dampening", 0) <= 1:
            raise UserError(
                "optimizer: dampening", value=group["dampening"], fix="set a number in [0, 1]"
            )

    def closure() -> torch.Tensor:
        # By hand, as autograd's first pass initialises CUDA, which a process must not that forks
        # the workers of a study.
        for parameter in parameters:
            parameter.grad = 2 * parameter.detach()
        return torch.stack([parameter.detach().square().sum() for parameter in parameters]).sum()

    try:
        optimizer.step(closure)  # type: ignore[arg-type]  # any optimizer of torch returns what it returns
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            "optimizer",
            value=type(optimizer).__name__,
            problem=error,
            fix="choose another, or other settings",
        ) from error


def check_schedule(module: Supervised, epochs: int) -> None:
    """Raise UserError for a schedule that ends before the run, or reaches an impossible rate."""
    optimizer, schedule, _ = build_optimizer(module)
    if optimizer is None or schedule is None or isinstance(schedule, ReduceLROnPlateau):
        return
    name = type(schedule).__name__
    with warnings.catch_warnings():
        # The optimizer is only asked for its rates, and takes no step.
        warnings.simplefilter("ignore")
        for epoch in range(1, min(epochs, _MOST_EPOCHS) + 1):
            try:
                schedule.step()
            except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
                raise UserError(
                    "lr_scheduler",
                    value=name,
                    problem=f"fails after epoch {epoch} of {epochs} ({error})",
                    fix="it steps once an epoch, let it be as long as the run",
                ) from error
            for rate in (float(group["lr"]) for group in optimizer.param_groups):
                if not math.isfinite(rate) or not -1e-9 <= rate <= LARGEST:
                    raise UserError(
                        "lr_scheduler",
                        value=name,
                        problem=f"the learning rate is {rate:g} after epoch {epoch}",
                        fix="choose others",
                    )
