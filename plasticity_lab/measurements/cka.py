"""Similarity of features by centred kernel alignment (Kornblith et al. 2019)."""

from torch import Tensor

from plasticity_lab.measurements.gram import cosine, gram


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Return the linear CKA of two feature matrices, in [0, 1] (Kornblith et al. 2019).

    https://arxiv.org/abs/1905.00414

    |Y'X|² / (|X'X| |Y'Y|) of centred columns, with Frobenius norms. Rotations and factors of either
    change nothing.

    Args:
        first: (examples, columns).
        second: (examples, other columns), of the same examples.

    Examples:
        >>> features = torch.randn(20, 5)
        >>> round(linear_cka(features, 2 * features.flip(1)), 5)
        1.0
    """
    return cosine(gram(first), gram(second))
