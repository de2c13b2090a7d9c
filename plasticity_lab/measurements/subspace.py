"""How gradients lie in the directions of largest curvature (Gur-Ari et al. 2018)."""

from torch import Tensor


def share_within(vector: Tensor, basis: Tensor) -> float:
    """Return |V'g|² / |g|², the part of a vector in the span of orthonormal columns.

    In [0, 1]; `vector` is (size,), `basis` (size, count).

    Examples:
        >>> basis = torch.tensor([[1.0], [0.0]])
        >>> round(share_within(torch.tensor([3.0, 4.0]), basis), 2)
        0.36
    """
    return float((basis.T @ vector).pow(2).sum() / vector.pow(2).sum())


def curvature_overlap(vector: Tensor, image: Tensor) -> float:
    """Return g·Hg / (|g| |Hg|), 1 if g is an eigenvector of positive curvature.

    Args:
        vector: g, (size,).
        image: Hg.

    Examples:
        >>> curvature_overlap(torch.tensor([1.0, 0.0]), image=torch.tensor([3.0, 0.0]))
        1.0
    """
    return float(vector @ image / (vector.norm() * image.norm()))


def subspace_overlap(first: Tensor, second: Tensor) -> float:
    """Return |V'W|² / count of two spans of count orthonormal columns.

    1 for the same span, 0 for orthogonal ones, count / size for random ones.

    Examples:
        >>> subspace_overlap(torch.eye(4)[:, :2], torch.eye(4)[:, 1:3])
        0.5
    """
    return float((first.T @ second).pow(2).sum() / first.shape[1])
