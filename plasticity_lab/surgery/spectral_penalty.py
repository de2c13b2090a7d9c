"""Largest singular values held at 1 (Lewandowski et al. 2025)."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from plasticity_lab.surgery.weight_matrices import as_matrix


@torch.no_grad()
def power_iteration(matrix: Tensor, left: Tensor, iterations: int = 1) -> tuple[Tensor, Tensor]:
    """Return estimates of the first left and right singular vectors, of length 1.

    Args:
        matrix: (outputs, inputs).
        left: a first estimate of the left one, (outputs,).
        iterations: 1 or more.

    Examples:
        >>> left, right = power_iteration(torch.diag(torch.tensor([3.0, 1.0])), torch.ones(2), 9)
        >>> round(float(left @ torch.diag(torch.tensor([3.0, 1.0])) @ right), 4)
        3.0
    """
    for _ in range(iterations):
        right = F.normalize(matrix.mT @ left, dim=0)
        left = F.normalize(matrix @ right, dim=0)
    return left, right


def spectral_penalty(
    weights: Mapping[str, Tensor],
    biases: Iterable[Tensor],
    power: int = 2,
    vectors: Mapping[str, tuple[Tensor, Tensor]] | None = None,
) -> Tensor:
    """Return the sum over weights of (s^k - 1)^2 and over biases of |b|^(2k), a scalar.

    Spectral regularisation, https://arxiv.org/abs/2406.06811; s is the largest singular value.

    Args:
        weights: by name, (outputs, …).
        biases: vectors, pulled to 0.
        power: k, 1 or more; the paper's is 2.
        vectors: by name, the left and right vectors from which s = left' W right is taken, as
            `power_iteration` returns them; None takes s exactly, by a singular value decomposition.

    Examples:
        >>> weight = torch.diag(torch.tensor([3.0, 1.0]))
        >>> spectral_penalty({"weight": weight}, [torch.tensor([1.0, 2.0])])
        tensor(89.)
    """
    penalties = []
    for name, weight in weights.items():
        # Decompositions are not made for 16 bits.
        matrix = as_matrix(weight).to(torch.promote_types(weight.dtype, torch.float32))
        if vectors is None:
            largest = torch.linalg.matrix_norm(matrix, 2)
        else:
            left, right = vectors[name]
            largest = left @ matrix @ right
        penalties.append((largest**power - 1).square())
    penalties += [bias.square().sum() ** power for bias in biases]
    return torch.stack(penalties).sum()
