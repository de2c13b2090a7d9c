"""Weights shrunk where they point away from the descent of new data (Shin et al. 2024)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.surgery.construction import full_name
from plasticity_lab.surgery.weight_matrices import linear_layers


@torch.no_grad()
def direction_aware_shrink(
    layers: Mapping[str, nn.Module], descent: Mapping[str, Tensor], least: float
) -> None:
    """Multiply weights by the cosine between them and a direction of descent, in place.

    DASH, Shin et al. 2024, https://arxiv.org/abs/2410.23495. Each row of a linear layer, each
    kernel of a convolution (outputs x inputs of them) and each bias as a whole has a factor of its
    own, clamped to [least, 1]; 1 is the identity. Normalisation layers stay.

    Args:
        layers: by name; those that are neither linear nor convolutional are left alone.
        descent: of their parameters by full name: a negative gradient of the loss on new data;
            those without one are left alone.
        least: smallest factor, in [0, 1]. The paper's is 0.3 or 0.05.

    Raises:
        UserError: by name, for a weight that is computed from others.

    Examples:
        >>> network = nn.Linear(2, 1, bias=False)
        >>> _ = network.weight.data.copy_(torch.tensor([[1.0, 0.0]]))
        >>> direction_aware_shrink({"": network}, {"weight": torch.tensor([[3.0, 4.0]])}, 0.3)
        >>> network.weight.data
        tensor([[0.6000, 0.0000]])
    """
    for name, layer in linear_layers(layers).items():
        for part, value in layer.named_parameters(recurse=False):
            direction = descent.get(full_name(name, part))
            if direction is None:
                continue
            # Each kernel, else each row, else the whole bias.
            rows = value.flatten(2) if value.ndim > 2 else value
            directions = direction.flatten(2) if value.ndim > 2 else direction
            factors = (_scaled(directions) * _scaled(rows)).sum(-1).clamp(least, 1)
            value.mul_(factors.view(factors.shape + (1,) * (value.ndim - factors.ndim)))


def _scaled(rows: Tensor) -> Tensor:
    """Return rows at length 1, however short; those of zeros stay."""
    largest = rows.abs().amax(-1, keepdim=True)
    return F.normalize(rows / largest.where(largest > 0, 1), dim=-1)
