"""Residual networks of basic blocks."""

from typing import Literal

from torch import Tensor, nn

from lightning_modules.networks.layers import (
    Activation,
    Norm,
    check_sizes,
    conv_block,
    units_after,
    units_before,
)
from lightning_modules.networks.residual import PostActivation, PreActivation
from plasticity_lab.errors import UserError


class ResNet(nn.Module):
    """ResNet of four modules of `depth` basic blocks, with 1, 2, 4 and 8 times `width` channels.

    ResNet-18 is depth 2, width 64 (He et al. 2015, https://arxiv.org/abs/1512.03385). At least four
    networks are published as "ResNet-18" in this field: state stem, pool and width beside every
    number. Kuangliu's CIFAR form is the default; Ash & Adams 2020 released `width: 16`; its
    ReScience reproduction and DASH add `pool: true` to the default; torchvision's is `stem:
    conv7x7s2, pool: true`.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        depth: basic blocks in each of the four modules.
        width: channels of the first module.
        stem: first convolution, kernel and stride.
        pool: 3x3 max-pooling with stride 2 after the stem.
        norm: `batch`, `group` (groups of 16 channels), `layer` or `none`.
        block: activation after (`post`) or before (`pre`) the convolutions.
        activation: `relu`, `leaky_relu`, `gelu`, `tanh`; with `pre` also `crelu` (channels are
            those of the sums, twice as many come out of the activation) and `crelu_half` (half as
            many channels in the sums).

    Raises:
        UserError: for CReLU after the sums, where no shortcut could be the identity.
    """

    blocks = ("stem", "layer1", "layer2", "layer3", "layer4", "head")

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int = 2,
        width: int = 64,
        stem: Literal["conv3x3", "conv3x3s2", "conv7x7s2"] = "conv3x3",
        pool: bool = False,
        norm: Norm = "batch",
        block: Literal["post", "pre"] = "post",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        check_sizes(depth=depth, width=width)
        width = units_before(activation, width)
        kernel, stride = {"conv3x3": (3, 1), "conv3x3s2": (3, 2), "conv7x7s2": (7, 2)}[stem]
        self.stem = conv_block(in_channels, width, kernel, stride, norm, activation)
        if pool:
            self.stem.append(nn.MaxPool2d(3, 2, padding=1))
        channels = units_after(activation, width)
        for module in range(4):
            outputs, stride = width * 2**module, 1 if module == 0 else 2
            layers = nn.Sequential()
            for index in range(depth):
                sizes = (channels, outputs, stride if index == 0 else 1)
                layers.append(_block(block, sizes, norm, activation))
                channels = outputs
            self.add_module(f"layer{module + 1}", layers)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        for name in self.blocks[:-1]:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _block(
    block: str, sizes: tuple[int, int, int], norm: Norm, activation: Activation
) -> nn.Module:
    """Return a block of so many inputs, outputs and such a stride."""
    if block == "pre":
        return PreActivation(*sizes, norm, activation)
    if activation == "crelu" or activation == "crelu_half":
        raise UserError(
            "activation",
            value=activation,
            problem="after the sum it doubles the channels, so that no shortcut is the identity",
            fix="set block: pre",
        )
    return PostActivation(*sizes, norm, activation)
