"""Weights shrunk and perturbed (Ash & Adams 2020)."""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def shrink_perturb(
    parameters: Mapping[str, Tensor], noise: Mapping[str, Tensor], shrink: float, perturb: float
) -> None:
    """Replace each parameter by `shrink * parameter + perturb * noise`, in place.

    Ash & Adams 2020, https://arxiv.org/abs/1910.08475; `shrink` 1 and `perturb` 0 are the identity.

    Args:
        parameters: by name.
        noise: of the same shapes, by the same names: a fresh initialisation in the authors' code
            (`redraw`). Not looked at if `perturb` is 0.
        shrink: factor of the parameters, in [0, 1].
        perturb: factor of the noise, 0 or more.

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> weights = dict(network.named_parameters())
        >>> noise = {name: torch.randn_like(weight) for name, weight in weights.items()}
        >>> shrink_perturb(weights, noise, shrink=0.4, perturb=0.1)
    """
    for name, parameter in parameters.items():
        parameter.mul_(shrink)
        if perturb:
            parameter.add_(noise[name].to(parameter), alpha=perturb)
