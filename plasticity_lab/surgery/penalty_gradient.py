"""Gradients of penalties on weights, added to those of a loss."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def add_penalty_gradient(
    penalty: Callable[[], Tensor], parameters: Iterable[Tensor], strength: float
) -> None:
    """Add the gradient of `strength * penalty()` to each `.grad`, in place.

    Args:
        penalty: computes a scalar from parameters.
        parameters: those without a gradient are left alone.
        strength: 0 or more; 0 is the identity.

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> network(torch.ones(4, 2)).sum().backward()
        >>> before = network.weight.grad.clone()
        >>> squares = lambda: network.weight.square().sum() / 2
        >>> add_penalty_gradient(squares, network.parameters(), strength=1.0)
        >>> torch.equal(network.weight.grad, before + network.weight)
        True
    """
    trained = [parameter for parameter in parameters if parameter.grad is not None]
    if not strength or not trained:
        return
    with torch.enable_grad():
        slopes = torch.autograd.grad(penalty(), trained, allow_unused=True)
    for parameter, slope in zip(trained, slopes, strict=True):
        if slope is not None and parameter.grad is not None:
            parameter.grad.add_(slope, alpha=strength)
