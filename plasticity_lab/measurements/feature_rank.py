"""Ranks of feature matrices."""

import torch
from torch import Tensor


def effective_rank(features: Tensor) -> float:
    """Return the effective rank: exp of the entropy of normalised singular values.

    Roy & Vetterli 2007; in [1, min(examples, columns)].

    Args:
        features: (examples, columns), uncentred, as for all ranks here; of zeros only they have
            rank 0.

    Examples:
        >>> effective_rank(torch.eye(4))
        4.0
    """
    values = _singular(features)
    return float(torch.special.entr(values / values.sum()).sum().exp()) if values.any() else 0.0


def stable_rank(features: Tensor) -> float:
    """Return the stable rank: squared Frobenius norm over squared spectral norm.

    In [1, min(examples, columns)]; 0 for zeros.

    Examples:
        >>> stable_rank(torch.eye(4))
        4.0
    """
    values = _singular(features)
    return float(values.square().sum() / values[0].square()) if values.any() else 0.0


def srank(features: Tensor, delta: float = 0.01) -> int:
    """Return the number of leading singular values whose sum is at least 1 - delta of all.

    Kumar et al. 2021, https://arxiv.org/abs/2010.14498; 0 for zeros.

    The repository `shibhansh/loss-of-plasticity` calls this one the stable rank.

    Examples:
        >>> srank(torch.diag(torch.tensor([1.0, 1.0, 1e-6])))
        2
    """
    sums = _singular(features).cumsum(0)
    return int((sums < (1 - delta) * sums[-1]).sum()) + 1 if sums.any() else 0


def _singular(features: Tensor) -> Tensor:
    values: Tensor = torch.linalg.svdvals(
        features.double()
    ).cpu()  # cumsum has no deterministic form on GPUs
    return values
