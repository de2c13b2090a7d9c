"""A module's optimizer and schedule, built anew."""

from typing import Any

from pytorch_lightning import LightningModule
from torch.optim import Optimizer


def build_optimizer(module: LightningModule) -> tuple[Optimizer | None, Any]:
    """Return a module's one optimizer and its schedule (or None), built anew.

    (None, None) if it configures several.
    """
    made: Any = module.configure_optimizers()
    if isinstance(made, Optimizer):
        return made, None
    if isinstance(made, dict) and isinstance(made.get("lr_scheduler"), dict):
        return made["optimizer"], made["lr_scheduler"]["scheduler"]
    return None, None
