"""Layers that several networks share."""

from collections import OrderedDict
from typing import Literal

from torch import nn

from plasticity_lab.errors import UserError

Norm = Literal["batch", "group", "none"]

ImageSize = int | tuple[int, int]
"""Pixels of an image: height and width, or one number for a square."""


def height_and_width(size: ImageSize) -> tuple[int, int]:
    """Return both, of squares too."""
    return (size, size) if isinstance(size, int) else size


def check_sizes(**sizes: int) -> None:
    """Refuse sizes below 1, by name."""
    for name, value in sizes.items():
        if value < 1:
            raise UserError(name, value=value, fix="set 1 or more")


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Return batch norm, group norm in groups of 16 channels, or the identity.

    There are fewer groups where 16 does not divide the channels.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        groups = max(1, channels // 16)
        return nn.GroupNorm(
            next(count for count in range(groups, 0, -1) if channels % count == 0), channels
        )
    return nn.Identity()


def conv(inputs: int, outputs: int, kernel: int, stride: int, norm: Norm) -> nn.Conv2d:
    """Return a convolution that keeps the size, up to its stride.

    It has a bias only where no normalisation follows.
    """
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=norm == "none")


def conv_block(inputs: int, outputs: int, kernel: int, stride: int, norm: Norm) -> nn.Sequential:
    """Return convolution, normalisation and ReLU, named `conv`, `norm` and `relu`."""
    layers = {
        "conv": conv(inputs, outputs, kernel, stride, norm),
        "norm": normalisation(norm, outputs),
        "relu": nn.ReLU(),
    }
    return nn.Sequential(OrderedDict(layers))
