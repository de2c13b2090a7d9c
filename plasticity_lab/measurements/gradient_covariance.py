"""The covariance of mini-batch gradients (Jastrzebski et al. 2020)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Covariance(NamedTuple):
    """Of K = mean over batches of (g - mean g)(g - mean g)'.

    Attributes:
        largest: its largest eigenvalue.
        trace: the sum of all.
    """

    largest: float
    trace: float


def gradient_covariance(gradients: Sequence[Tensor]) -> Covariance:
    """Return eigenvalue and trace of the covariance of gradients, by their Gram matrix.

    K of batches of b examples is about 1/b of that of single examples, so that one size must be
    kept throughout.

    Examples:
        >>> gradient_covariance([torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0])])
        Covariance(largest=1.0, trace=1.0)
    """
    rows = torch.stack(list(gradients)).double()
    rows = rows - rows.mean(0)
    gram = rows @ rows.T / len(rows)
    return Covariance(float(torch.linalg.eigvalsh(gram)[-1]), float(gram.trace()))
