"""VGG for small images."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from lightning_modules.networks.layers import (
    Activation,
    ImageSize,
    Norm,
    check_halvings,
    check_sizes,
    conv_block,
    units_after,
    units_before,
)
from plasticity_lab.errors import UserError

_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each stage, by depth: configurations A, B, D and E of the paper."""

_CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """VGG in the CIFAR form of Liu et al. 2019 and open_lth.

    Simonyan & Zisserman 2015, https://arxiv.org/abs/1409.1556; Liu et al. 2019,
    https://arxiv.org/abs/1810.05270.

    Five stages of 3x3 convolutions with 64, 128, 256, 512 and 512 channels, 2x2 max-pooling after
    each but the last, the mean over what positions are left (2 x 2 of 32 x 32 pixels), and one
    linear layer. (Kuangliu's form pools after the last stage too; that of chengyangfu also has two
    hidden linear layers of 512 units with dropout.) Each convolution is a block, with the pooling
    that follows it.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        depth: layers with weights in the paper's count, which has three linear ones: 11, 13, 16 or
            19.
        width: factor on all channel numbers.
        channels: of each convolution, bottom to top, in place of the paper's: of a network whose
            filters are pruned. VGG-16-A of Li et al. 2017 is `[32, 64, 128, 128, 256, 256, 256,
            256, 256, 256, 256, 256, 256]`.
        norm: after each convolution: `batch`, `group` (groups of 16 channels), `layer`, or `none`,
            which also gives the convolutions a bias.
        activation: `relu`, `leaky_relu`, `gelu`, `tanh`, `crelu` (the channels are those before it,
            twice as many come out) or `crelu_half` (half as many before it).

    Raises:
        UserError: for images of fewer than 16 pixels in height or width, or another number of
            channels than there are convolutions.

    Example:
        ```yaml
        class_path: lightning_modules.networks.VGG
        init_args: {depth: 16, width: 0.25}
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        depth: Literal[11, 13, 16, 19] = 16,
        width: float = 1.0,
        norm: Norm = "batch",
        activation: Activation = "relu",
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise UserError("depth", value=depth, fix="set 11, 13, 16 or 19")
        if not round(64 * width) >= 1:
            raise UserError(
                "width", value=width, problem="a factor on 64 channels", fix="set 1 for the paper's"
            )
        check_halvings(image_size, len(_CHANNELS) - 1)
        widths = _widths(_STAGES[depth], channels)
        check_sizes(channels=round(min(widths) * width))
        inputs, number = in_channels, 0
        for stage, count in enumerate(_STAGES[depth], 1):
            for _ in range(count):
                outputs = units_before(activation, round(widths[number] * width))
                number += 1
                block = conv_block(inputs, outputs, 3, 1, norm, activation)
                self.add_module(f"conv{number}", block)
                inputs = units_after(activation, outputs)
            if stage < len(_CHANNELS):
                block.append(nn.MaxPool2d(2))
        self.head = nn.Linear(inputs, num_classes)
        self.blocks = (*(f"conv{place}" for place in range(1, number + 1)), "head")

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        for name in self.blocks[:-1]:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _widths(stages: Sequence[int], channels: Sequence[int] | None) -> list[int]:
    """Return the channels of each convolution."""
    paper = [base for count, base in zip(stages, _CHANNELS, strict=True) for _ in range(count)]
    if channels is None:
        return paper
    if len(channels) != len(paper):
        raise UserError(
            "channels",
            value=list(channels),
            problem=f"are {len(channels)}, and there are {len(paper)} convolutions",
            fix="set one number for each",
        )
    return list(channels)
