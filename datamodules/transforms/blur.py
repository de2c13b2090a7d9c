"""Blur by resizing, in exact arithmetic."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=8)
def resize_matrix(old: int, new: int, device: torch.device) -> Tensor:
    """Return the antialiased bilinear resize of a row of pixels, float32 (new, old).

    Its weights are multiples of 2^-15.

    A weighted sum of grey levels 0…255 is then exact in float32, whatever the order of summation.
    """
    weights = F.interpolate(
        torch.eye(old)[None, None], (new, old), mode="bilinear", antialias=True
    )[0, 0]
    numerators = (weights * 2**15).round()
    numerators[torch.arange(new), numerators.argmax(1)] += 2**15 - numerators.sum(
        1
    )  # a constant image stays as it is
    return (numerators / 2**15).to(device)


def blurred_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Return height and width of an image whose shorter side is shrunk to `size` pixels.

    The longer side is shrunk by the same factor, rounded half up.
    """
    short = min(height, width)
    new_height, new_width = ((2 * side * size + short) // (2 * short) for side in (height, width))
    return new_height, new_width


def blur(images: Tensor, size: int) -> Tensor:
    """Shrink images until their shorter side has `size` pixels, and enlarge them again.

    Both as Pillow does: bilinear, antialiased, in grey levels. The arithmetic is exact, so that
    batch, device and order of summation change nothing (but for TF32 on a GPU, which is off unless
    asked for and rounds factors). The identity at `size` = the shorter side.

    Args:
        images: (examples, channels, height, width) in grey levels 0…255.
        size: 1…the shorter of height and width.
    """
    height, width = images.shape[2:]
    pixels = images.float()
    for new_height, new_width in (blurred_size(height, width, size), (height, width)):
        across = resize_matrix(pixels.shape[3], new_width, pixels.device)
        down = resize_matrix(pixels.shape[2], new_height, pixels.device)
        pixels = (pixels @ across.T).add_(0.5).floor_()
        pixels = (down @ pixels).add_(0.5).floor_()
    return pixels.to(images.dtype)
