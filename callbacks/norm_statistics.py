"""The running statistics of batch norm."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def norms(network: nn.Module) -> dict[str, Any]:
    """Return the batch-norm layers of a network by name."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)}


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set running statistics to the plain averages over batches, in place.

    Args:
        network: all its other layers are in evaluation mode meanwhile; modes are restored.
        batches: what its `forward` takes.
    """
    modes = {layer: layer.training for layer in network.modules()}
    layers = norms(network).values()
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for norm in layers:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # a plain average
    for images in batches:
        network(images)
    for norm, momentum in zip(layers, momenta, strict=True):
        norm.momentum = momentum
    for layer, mode in modes.items():
        layer.training = mode
