"""Whether the ranks of a run still hold the same network."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor


def checksum(module: LightningModule) -> Tensor:
    """Return a float64 scalar that depends on every parameter and on their order.

    Not on buffers: each rank has batch-norm statistics of its own until DDP hands out the first
    rank's at the next forward pass.
    """
    # Moved to the CPU first, since Apple's GPUs have no float64.
    sums = [parameter.detach().cpu().double().sum() for parameter in module.parameters()]
    weights = torch.arange(1, len(sums) + 1, dtype=torch.float64)
    return (torch.stack(sums) * weights).sum()


def check_ranks(trainer: Trainer, module: LightningModule, name: str) -> None:
    """Raise RuntimeError if the ranks have parted.

    Args:
        trainer: the run's.
        module: compared between ranks.
        name: the intervention that has just acted, for the message.
    """
    if trainer.world_size == 1:
        return
    gathered: Any = module.all_gather(checksum(module).to(module.device))
    if len(sums := set(gathered.tolist())) > 1:
        raise RuntimeError(f"{name}: the ranks hold different networks after it: {sorted(sums)}")
