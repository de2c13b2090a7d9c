"""Parameters returned to the norm that they had at first."""

from collections.abc import Mapping

import torch
from torch import Tensor

_ZERO = 1e-6
"""A norm up to which initial values count as zeros, as in the authors' code."""


@torch.no_grad()
def rescale(parameters: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> None:
    """Multiply each parameter, as a whole, so that it has the norm of its initial values, in place.

    Alabdulmohsin et al. 2021, https://arxiv.org/abs/2109.00267, as in the code of Zhou et al. 2022:
    scales, shifts and biases, too; what began as zeros becomes zeros. A parameter of zeros that
    began as something else stays.

    Args:
        parameters: by name.
        initial: initial values, by the same names.

    Examples:
        >>> weights = {"weight": torch.tensor([3.0, 4.0])}
        >>> rescale(weights, {"weight": torch.tensor([0.0, 1.0])})
        >>> weights["weight"]
        tensor([0.6000, 0.8000])
    """
    for name, parameter in parameters.items():
        target, norm = initial[name].norm(), parameter.norm()
        if target <= _ZERO:
            parameter.zero_()
        elif norm > 0:
            parameter.mul_(target.to(parameter) / norm)
