"""A module's optimizers and schedules, built anew."""

from typing import Any

from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import _configure_optimizers
from torch.optim import Optimizer


def build_optimizers(module: LightningModule) -> tuple[list[Optimizer], list[Any]]:
    """Return a module's optimizers and schedules, in whatever form it configures them."""
    configured: Any = module.configure_optimizers()
    if configured is None:
        return [], []
    optimizers, schedules, _ = _configure_optimizers(configured)
    return optimizers, [
        schedule["scheduler"] if isinstance(schedule, dict) else schedule for schedule in schedules
    ]


def build_optimizer(module: LightningModule) -> tuple[Optimizer | None, Any]:
    """Return a module's one optimizer and its schedule (or None), built anew.

    (None, None) if it configures none, or several of either.
    """
    optimizers, schedules = build_optimizers(module)
    if len(optimizers) != 1 or len(schedules) > 1:
        return None, None
    return optimizers[0], schedules[0] if schedules else None
