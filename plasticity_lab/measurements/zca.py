"""Whitening of inputs that turns them as little as possible."""

import torch
from torch import Tensor


def zca_matrix(covariance: Tensor, regularisation: float) -> Tensor:
    """Return the matrix U (L + r m I)^(-1/2) U' that whitens inputs of this covariance; float64.

    U and L are its eigenvectors and eigenvalues, m their mean. Regularised ZCA as in Lee et al.
    2020, https://arxiv.org/abs/2007.15801, where it helps kernels and finite networks. Symmetric,
    so that whitened images look like images. With a large r it only scales.

    Args:
        covariance: of the inputs, (numbers, numbers), symmetric.
        regularisation: r, above 0 unless the covariance has full rank.

    Examples:
        >>> zca_matrix(torch.diag(torch.tensor([4.0, 0.25])), 0.0)
        tensor([[0.5000, 0.0000],
                [0.0000, 2.0000]], dtype=torch.float64)
    """
    found = torch.linalg.eigh(covariance.double())
    # Eigenvalues of 0 may come out below it.
    values = found.eigenvalues.clamp(min=0)
    scales = (values + regularisation * values.mean()).rsqrt()
    matrix: Tensor = (found.eigenvectors * scales) @ found.eigenvectors.T
    return matrix
