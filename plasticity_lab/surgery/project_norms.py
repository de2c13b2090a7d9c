"""Weights scaled to given norms (Lyle et al. 2024)."""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def project_norms(parameters: Mapping[str, Tensor], norms: Mapping[str, Tensor]) -> None:
    """Scale each parameter to a norm, in place; those that are 0, or are to be, are left alone.

    Normalise and project, https://arxiv.org/abs/2407.01800.

    Args:
        parameters: by name.
        norms: by the same names, scalars on their device: in the paper, the norms at
            initialisation.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> weights = {"weight": network.weight}
        >>> norms = {name: weight.norm() for name, weight in weights.items()}
        >>> with torch.no_grad(): _ = network.weight.mul_(3)
        >>> project_norms(weights, norms)
        >>> torch.allclose(network.weight.norm(), norms["weight"])
        True
    """
    if not parameters:
        return
    values = list(parameters.values())
    targets = torch.stack([norms[name].float() for name in parameters])
    sizes = torch.stack([size.float() for size in torch._foreach_norm(values)])
    known = (sizes > 0) & (targets > 0)
    factors = torch.where(known, targets / sizes, 1).unbind()
    torch._foreach_mul_(values, list(factors))
