"""The two sensors of an image: its left and its right half."""

import torch
from torch import Tensor


def join_halves(left: Tensor, right: Tensor) -> Tensor:
    """Return images with the left half of some and the right half of others.

    The left half is the first width // 2 columns: what pathway A of Kleinman et al. 2023 sees,
    https://arxiv.org/abs/2210.04643; pathway B sees the others.

    Args:
        left: (examples, channels, height, width).
        right: of the same shape and type; the same images are the identity.

    Examples:
        >>> join_halves(torch.ones(1, 1, 1, 5), torch.zeros(1, 1, 1, 5))
        tensor([[[[1., 1., 0., 0., 0.]]]])
    """
    middle = left.shape[3] // 2
    return torch.cat([left[..., :middle], right[..., middle:]], 3)
