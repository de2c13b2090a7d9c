"""Matrices of inner products between examples."""

from torch import Tensor


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrix of centred features, (examples, examples).

    Examples:
        >>> gram(torch.tensor([[1.0], [3.0]]))
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    centred = features - features.mean(0)
    return centred @ centred.T


def cosine(first: Tensor, second: Tensor) -> float:
    """Return the cosine between two matrices by the Frobenius product; 0 if one is zero.

    Examples:
        >>> round(cosine(torch.eye(2), 3 * torch.eye(2)), 6)
        1.0
    """
    first, second = first.double(), second.double()
    norms = float(first.norm() * second.norm())
    return float((first * second).sum()) / norms if norms else 0.0
