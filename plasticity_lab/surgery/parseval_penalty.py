"""Rows of weights held orthogonal (Parseval regularisation)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from plasticity_lab.surgery.weight_matrices import as_matrix


def parseval_penalty(
    weights: Iterable[Tensor], gains: Iterable[Tensor] = (), scale: float = 2.0
) -> Tensor:
    """Return the sum over weights of |W W' - s I|^2 and over gains of |g^2 - s|^2, a scalar.

    Chung et al. 2024, https://arxiv.org/abs/2412.07224. A weight with more outputs than inputs
    cannot reach 0.

    Args:
        weights: (outputs, …), kernels with all else in a row.
        gains: of normalisation layers, vectors.
        scale: s, the squared length of every row that is asked for, above 0.

    Examples:
        >>> weight = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
        >>> parseval_penalty([weight]), parseval_penalty([weight], scale=1.0)
        (tensor(18.), tensor(24.))
    """
    penalties = []
    for weight in weights:
        matrix = as_matrix(weight)
        identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        penalties.append((matrix @ matrix.mT - scale * identity).square().sum())
    penalties += [(gain.square() - scale).square().sum() for gain in gains]
    return torch.stack(penalties).sum()
