"""Fully connected networks."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from lightning_modules.networks.layers import (
    Activation,
    ImageSize,
    Norm,
    check_sizes,
    height_and_width,
    linear_block,
    units_after,
    units_before,
)


class MLP(nn.Module):
    """A fully connected network.

    The default is that of Achille et al. 2019 on MNIST padded to 32 x 32 (12.565 M weights).

    Ash & Adams 2020 describe `widths: [100, 100, 100], norm: none, activation: tanh`.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        widths: units of the hidden layers.
        norm: between a linear layer and its activation: `batch`, `group` (groups of 16 units),
            `layer` or `none`.
        activation: `relu`, `leaky_relu`, `gelu`, `tanh`, `crelu` (`widths` before it, twice as many
            units after it) or `crelu_half` (`widths` after it, half as many before it).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        widths: Sequence[int] = (2500, 2000, 1500, 1000, 500),
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        features = in_channels * prod(height_and_width(image_size))
        for number, units in enumerate(widths, 1):
            check_sizes(widths=units)
            before = units_before(activation, units)
            self.add_module(f"hidden{number}", linear_block(features, before, norm, activation))
            features = units_after(activation, before)
        self.head = nn.Linear(features, num_classes)
        self.blocks = (*(f"hidden{number}" for number in range(1, len(widths) + 1)), "head")

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        x = x.flatten(1)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return x


class Linear(nn.Module):
    """Multinomial logistic regression: convex, the control without plasticity to lose.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
    """

    blocks = ("head",)

    def __init__(self, in_channels: int, num_classes: int, image_size: ImageSize) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels * prod(height_and_width(image_size)), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        logits: Tensor = self.head(x.flatten(1))
        return logits
