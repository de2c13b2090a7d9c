"""Weights pulled back to where they began (Kumar et al. 2024)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["l2", "l1", "huber"]
Comparison = Literal["entries", "sorted"]


@torch.no_grad()
def add_l2_init_gradient(
    parameters: Mapping[str, Tensor],
    initial: Mapping[str, Tensor],
    strength: float,
    norm: Norm = "l2",
    compare: Comparison = "entries",
) -> None:
    """Add the gradient of `strength * penalty(parameter - initial)` to each `.grad`, in place.

    Regenerative regularisation, https://arxiv.org/abs/2308.11958; strength 0 is the identity.

    Args:
        parameters: by name; those without a gradient are left alone.
        initial: the initial values, by the same names.
        strength: 0 or more.
        norm: the penalty of a difference d, summed over all entries: `l2` is d^2 / 2, `l1` |d|,
            `huber` d^2 / 2 where |d| <= 1 and |d| - 1/2 beyond.
        compare: each of the `entries` with the initial value at its place, or `sorted` entries with
            sorted initial values (Wasserstein, https://arxiv.org/abs/2312.00246).

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> initial = {name: value.clone() for name, value in network.named_parameters()}
        >>> network(torch.ones(4, 2)).sum().backward()
        >>> add_l2_init_gradient(dict(network.named_parameters()), initial, strength=1e-2)
    """
    for name, parameter in parameters.items():
        if strength and parameter.grad is not None:
            target = initial[name]
            if compare == "sorted":
                target = _in_order_of(parameter, target)
            parameter.grad.add_(_slope(parameter - target, norm), alpha=strength)


def _slope(difference: Tensor, norm: Norm) -> Tensor:
    match norm:
        case "l2":
            return difference
        case "l1":
            return difference.sign()
        case "huber":
            return difference.clamp(-1, 1)


def _in_order_of(parameter: Tensor, values: Tensor) -> Tensor:
    """Return the values rearranged so that the largest stands where the parameter's largest is."""
    order = parameter.flatten().argsort(stable=True)
    ranked = values.flatten().sort().values
    return torch.empty_like(ranked).scatter_(0, order, ranked).view_as(parameter)
