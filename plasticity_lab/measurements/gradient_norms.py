"""Norms of mini-batch gradients (Ash & Adams 2020)."""

from collections.abc import Iterable

import torch

from plasticity_lab.measurements.functional import Loss, Parameters, gradients


def mean_gradient_norm(losses: Iterable[Loss], parameters: Parameters) -> float:
    """Return the mean over batches of the norm of the gradient of a batch's mean loss.

    By all parameters at once. That is not the norm of the mean gradient: it has each batch's noise,
    and so falls with the size of batches.

    Args:
        losses: of each batch, as `mean_loss` returns them; batches of one size can be compared.
        parameters: as `detached_parameters` returns them.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> inputs, targets = torch.randn(2, 4, 3), torch.randint(2, (2, 4))
        >>> losses = [mean_loss(network, x, y) for x, y in zip(inputs, targets)]
        >>> mean_gradient_norm(losses, detached_parameters(network)) > 0
        True
    """
    norms = []
    for loss in losses:
        parts = gradients(loss(parameters), parameters)
        norms.append(torch.stack([part.norm() for part in parts.values()]).norm())
    return float(torch.stack(norms).mean())
