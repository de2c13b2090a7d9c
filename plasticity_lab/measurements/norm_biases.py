"""Signs of batch norm's biases (Tian et al. 2019)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from plasticity_lab.surgery.norm_statistics import batch_norm_layers


def norm_biases(module: nn.Module) -> dict[str, Tensor]:
    """Return the biases of all batch-norm layers by name of the parameter, (channels,) each.

    Examples:
        >>> list(norm_biases(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))))
        ['1.bias']
    """
    return {
        f"{name}.bias": layer.bias
        for name, layer in batch_norm_layers(module).items()
        if layer.affine
    }


def negative_share(biases: Iterable[Tensor]) -> float:
    """Return the share of values below 0: none at the start, when all are 0.

    Examples:
        >>> negative_share([torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 1.0])])
        0.25
    """
    return float((torch.cat([bias.flatten() for bias in biases]) < 0).double().mean())
