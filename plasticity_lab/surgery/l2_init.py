"""Weights pulled back to where they began (Kumar et al. 2024)."""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def add_l2_init_gradient(
    parameters: Mapping[str, Tensor], initial: Mapping[str, Tensor], strength: float
) -> None:
    """Add the gradient of `strength / 2 * ||parameter - initial||^2` to each `.grad`, in place.

    Regenerative regularisation, https://arxiv.org/abs/2308.11958; strength 0 is the identity.

    Args:
        parameters: by name; those without a gradient are left alone.
        initial: the initial values, by the same names.
        strength: 0 or more.

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> initial = {name: value.clone() for name, value in network.named_parameters()}
        >>> network(torch.ones(4, 2)).sum().backward()
        >>> add_l2_init_gradient(dict(network.named_parameters()), initial, strength=1e-2)
    """
    for name, parameter in parameters.items():
        if strength and parameter.grad is not None:
            parameter.grad.add_(parameter - initial[name], alpha=strength)
