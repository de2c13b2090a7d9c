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


def cosine(one: Tensor, other: Tensor) -> float:
    """Return the cosine between two matrices by the Frobenius product; 0 if one is zero.

    Examples:
        >>> round(cosine(torch.eye(2), 3 * torch.eye(2)), 6)
        1.0
    """
    one, other = one.double(), other.double()
    norms = float(one.norm() * other.norm())
    return float((one * other).sum()) / norms if norms else 0.0
