"""What optimizers remember of parameters."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

SCHEDULED = ("lr", "momentum", "betas")
"""What schedules write into parameter groups: rates, and `OneCycleLR` and `CyclicLR` momentum too."""


def forget(optimizers: Iterable[Optimizer], parameters: Iterable[Tensor]) -> None:
    """Drop what optimizers remember of some parameters (moments, step counts), as if they had just been given them.

    Fused SGD alone begins with a momentum of 0, so that dampening acts on its first gradient already.
    """
    for parameter in parameters:
        for optimizer in optimizers:
            known = optimizer.state.pop(parameter, {})
            if optimizer.defaults.get("fused") and "momentum_buffer" in known:
                optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}  # fused SGD wants all or none
