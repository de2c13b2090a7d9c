"""A module's optimizers and schedules, built anew."""

from typing import Any, NamedTuple

from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import _configure_optimizers
from torch import nn
from torch.optim import Optimizer

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.fresh_copy import copy_network


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


def twin_module(module: LightningModule, network: nn.Module, twin: nn.Module) -> LightningModule:
    """Return a copy of a module that holds a copy of its network.

    Args:
        module: what is trained.
        network: its network, which may be the module itself.
        twin: a copy of that.

    Raises:
        UserError: for a module that cannot be copied.
    """
    try:
        return copy_network(module, {network: twin})
    except (RuntimeError, TypeError) as error:
        raise UserError("module", type(module).__name__, f"cannot be copied ({error})") from error


def build_optimizer_for(module: LightningModule, network: nn.Module, twin: nn.Module) -> Optimizer:
    """Return the optimizer that a module configures, built anew for a copy of its network.

    It has the rates that it was configured with, before any schedule. The module, its network and
    their optimizer are left alone.

    Args:
        module: as `twin_module` takes it.
        network: likewise.
        twin: likewise.

    Raises:
        UserError: for a module that has none, or several, or cannot tell outside a run.
    """
    configured = build_optimizer(twin_module(module, network, twin))
    if configured.optimizer is None:
        raise UserError(
            "optimizer",
            value=type(module).__name__,
            problem="configures none that a copy of its network could be trained by",
            fix="let configure_optimizers() return one, without use of the trainer",
        )
    for group in configured.optimizer.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])
    return configured.optimizer
