"""A module's optimizer and schedule, built anew."""

from typing import Any

from pytorch_lightning import LightningModule
from torch.optim import Optimizer


def build_optimizer(module: LightningModule) -> tuple[Optimizer | None, Any]:
    """Return a module's one optimizer and its schedule (or None), built anew.

    (None, None) if it configures several.
    """
    configured: Any = module.configure_optimizers()
    if isinstance(configured, Optimizer):
        return configured, None
    if isinstance(configured, dict) and isinstance(configured.get("lr_scheduler"), dict):
        return configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    return None, None
