"""A module's optimizers and schedules, built anew."""

from typing import Any, NamedTuple

from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import _configure_optimizers
from torch.optim import Optimizer


class Configured(NamedTuple):
    """What a module configures to train with.

    Attributes:
        optimizer: the one; None if there is none, several, or no telling before training.
        scheduler: its schedule; None without one.
        interval: when that steps, `epoch` or `step`.
    """

    optimizer: Optimizer | None
    scheduler: Any
    interval: str = "epoch"


def build_optimizers(module: LightningModule) -> tuple[list[Optimizer], list[Any]]:
    """Return a module's optimizers and schedules, in whatever form it configures them.

    Both are empty where it needs a running trainer for that.
    """
    try:
        configured: Any = module.configure_optimizers()
    except RuntimeError as error:
        if "not attached to a `Trainer`" in str(error):
            return [], []
        raise
    if configured is None:
        return [], []
    optimizers, schedules, _ = _configure_optimizers(configured)
    return optimizers, schedules


def build_optimizer(module: LightningModule) -> Configured:
    """Return a module's one optimizer and its schedule, built anew."""
    optimizers, schedules = build_optimizers(module)
    if len(optimizers) != 1 or len(schedules) > 1:
        return Configured(None, None)
    if not schedules:
        return Configured(optimizers[0], None)
    schedule = schedules[0]
    if not isinstance(schedule, dict):
        return Configured(optimizers[0], schedule)
    return Configured(optimizers[0], schedule["scheduler"], schedule.get("interval", "epoch"))
