"""The running statistics of batch norm."""

import math
from collections.abc import Container, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def batch_norm_layers(network: nn.Module) -> dict[str, Any]:
    """Return the batch-norm layers of a network by name.

    Examples:
        >>> list(batch_norm_layers(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))))
        ['1']
    """
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    }


@torch.no_grad()
def update_bn(network: nn.Module, batches: Iterable[Tensor], frozen: Container[str] = ()) -> None:
    """Set running statistics to the plain averages over batches, in place.

    Args:
        network: all its other layers are in evaluation mode meanwhile; modes are restored.
        batches: what its `forward` takes.
        frozen: names of batch-norm layers that keep their statistics.

    Examples:
        >>> network = nn.BatchNorm1d(1)
        >>> update_bn(network, [torch.tensor([[1.0], [3.0]]), torch.tensor([[3.0], [5.0]])])
        >>> network.running_mean
        tensor([3.])
    """
    modes = {layer: layer.training for layer in network.modules()}
    layers = [layer for name, layer in batch_norm_layers(network).items() if name not in frozen]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for norm in layers:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # a plain average
    try:
        for images in batches:
            network(images)
    finally:
        for norm, momentum in zip(layers, momenta, strict=True):
            norm.momentum = momentum
        for layer, mode in modes.items():
            layer.training = mode


def frozen_batch_norms(network: nn.Module) -> set[str]:
    """Return the names of batch-norm layers that a network keeps in evaluation mode.

    Args:
        network: in training mode.

    Examples:
        >>> network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2)).train()
        >>> _ = network[0].eval()
        >>> frozen_batch_norms(network)
        {'0'}
    """
    return {name for name, layer in batch_norm_layers(network).items() if not layer.training}


def estimate_norm_statistics(
    network: nn.Module, images: Tensor, chunk: int = 250, frozen: Container[str] = ()
) -> None:
    """Set running statistics to those of some inputs, in place.

    They are what batch norm would use if it were trained on these inputs alone.

    Running statistics are 0 and 1 before the first batch, and averages over networks of the past
    for some hundred batches after it and after every reset of them. A network without batch norm is
    left alone, and costs nothing. Instance norm with running statistics keeps them: torch has no
    plain average of those.

    Args:
        network: all its layers but batch norm are in evaluation mode meanwhile; modes are restored.
        images: two or more, (examples, channels, height, width).
        chunk: images that pass through the network at once; statistics are plain averages over
            equal chunks.
        frozen: names of layers that keep their statistics, as `frozen_norms` finds them.

    Examples:
        >>> network = nn.BatchNorm1d(1)
        >>> estimate_norm_statistics(network, torch.tensor([[1.0], [3.0]]))
        >>> network.running_mean
        tensor([2.])
    """
    if any(name not in frozen for name in batch_norm_layers(network)):
        update_bn(network, images.tensor_split(math.ceil(len(images) / chunk)), frozen)
