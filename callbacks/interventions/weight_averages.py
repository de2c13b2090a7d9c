"""Averages of the weights that Lightning's callbacks keep."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn


def copy_if_averaged(trainer: Trainer, module: LightningModule) -> dict[str, Tensor]:
    """Return a copy of all parameters and buffers if an average of them is kept, else {}."""
    if not averages(trainer):
        return {}
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def sync_weight_averages(
    trainer: Trainer, module: LightningModule, before: dict[str, Tensor]
) -> None:
    """Set averaged values to the present ones, in place, wherever an intervention changed them.

    One by one: where single units are drawn again, the average of the others goes on.
    """
    now = module.state_dict()
    for average in averages(trainer):
        averaged = average.state_dict()
        for name, tensor in before.items():
            if not tensor.equal(now[name]):
                # It may be kept on another device.
                average_here = averaged[name].to(tensor.device)
                averaged[name].copy_(torch.where(tensor != now[name], now[name], average_here))


def averages(trainer: Trainer) -> list[nn.Module]:
    """Return the averaged modules that a run keeps."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    models: list[Any] = [
        callback._average_model for callback in callbacks if isinstance(callback, WeightAveraging)
    ]
    return [model.module for model in models]
