"""Covariances between positions of images, and what convolutions make of them.

A map is (height, width, …) for pairs of the same position of two images, and (height, width,
height, width, …) for all pairs of positions; examples come last, so that shifts are contiguous.
"""

import torch
from torch import Tensor


def squared_lengths(images: Tensor) -> Tensor:
    """Return the mean square over channels at each position, (height, width, examples).

    Args:
        images: (examples, channels, height, width).

    Examples:
        >>> squared_lengths(torch.full((2, 3, 1, 1), 2.0)).flatten()
        tensor([4., 4.])
    """
    return images.square().mean(1).permute(1, 2, 0).contiguous()


def same_position_products(first: Tensor, second: Tensor) -> Tensor:
    """Return means over channels of products at each position, (height, width, examples, others).

    Args:
        first: (examples, channels, height, width).
        second: (others, channels, height, width).

    Examples:
        >>> same_position_products(torch.ones(2, 3, 4, 5), torch.ones(6, 3, 4, 5)).shape
        torch.Size([4, 5, 2, 6])
    """
    return first.permute(2, 3, 0, 1) @ second.permute(2, 3, 1, 0) / first.shape[1]


def all_position_products(first: Tensor, second: Tensor) -> Tensor:
    """Return means over channels of products of all pairs of positions.

    (height, width, height, width, examples, others); arguments as `same_position_products`.

    Examples:
        >>> all_position_products(torch.ones(2, 3, 4, 5), torch.ones(6, 3, 4, 5)).shape
        torch.Size([4, 5, 4, 5, 2, 6])
    """
    left = first.permute(2, 3, 0, 1)[:, :, None, None]
    right = second.permute(2, 3, 1, 0)[None, None]
    return left @ right / first.shape[1]


def patch_means(maps: Tensor, all_pairs: bool = False) -> Tensor:
    """Return the mean over the 3 x 3 joint shifts of both positions, zero outside the images.

    It divides by 9 also at borders, where fewer shifts stay within.

    Args:
        maps: of the same position, or of all pairs.
        all_pairs: which of the two.

    Examples:
        >>> 9 * patch_means(torch.ones(3, 3, 1))[:, :, 0]
        tensor([[4., 6., 4.],
                [6., 9., 6.],
                [4., 6., 4.]])
    """
    rows, columns = ((0, 2), (1, 3)) if all_pairs else ((0,), (1,))
    return _shifted_sum(_shifted_sum(maps, rows), columns).div_(9)


def _shifted_sum(maps: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return a map plus itself shifted by one to either side, in all these dimensions at once."""
    total = maps.clone()
    size = maps.shape[dims[0]]
    upper, lower = maps, maps
    above, below = total, total
    for dim in dims:
        upper, lower = upper.narrow(dim, 1, size - 1), lower.narrow(dim, 0, size - 1)
        above, below = above.narrow(dim, 0, size - 1), below.narrow(dim, 1, size - 1)
    above += upper
    below += lower
    return total


def same_position(maps: Tensor) -> Tensor:
    """Return the part (height, width, …) of a map of all pairs, as a view.

    Examples:
        >>> same_position(torch.zeros(4, 5, 4, 5, 2)).shape
        torch.Size([4, 5, 2])
    """
    height, width = maps.shape[:2]
    flat = maps.view(height * width, height * width, *maps.shape[4:])
    same = torch.diagonal(flat, 0, 0, 1).movedim(-1, 0)
    return same.view(height, width, *maps.shape[4:])
