"""The plain convolutional networks of the critical-period papers."""

from torch import Tensor, nn

from lightning_modules.networks.layers import (
    Activation,
    Norm,
    check_sizes,
    conv_block,
    units_after,
    units_before,
)
from plasticity_lab.errors import UserError


class _PlainCNN(nn.Module):
    """Convolution blocks, a 1x1 convolution to the outputs, and the mean over positions."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        plan: list[tuple[int, int, int]],
        norm: Norm,
        activation: Activation,
    ) -> None:
        super().__init__()
        channels = in_channels
        for number, (width, kernel, stride) in enumerate(plan, 1):
            outputs = units_before(activation, width)
            block = conv_block(channels, outputs, kernel, stride, norm, activation)
            self.add_module(f"conv{number}", block)
            channels = units_after(activation, outputs)
        self.head = nn.Conv2d(channels, num_classes, 1)
        self.blocks = (*(f"conv{number}" for number in range(1, len(plan) + 1)), "head")

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


class AllCNN(_PlainCNN):
    """All-CNN as Achille et al. 2019 use it: nine convolutions, global average pooling.

    https://arxiv.org/abs/1711.08856

    96 - 96 - 192/2 - 192 - 192 - 192/2 - 192 - 192 (1x1) - classes (1x1), each but the last with
    batch norm and ReLU. (Springenberg's original has 96 channels in the third.)

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        width: factor on all channel numbers.
        norm: after each convolution but the last: `batch`, `group` (groups of 16 channels),
            `layer`, or `none`, which also gives the convolutions a bias.
        activation: `relu`, `leaky_relu`, `gelu`, `tanh`, `crelu` (the channels are those before it,
            twice as many come out) or `crelu_half` (half as many before it).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: float = 1.0,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        if not 96 * width >= 1:
            raise UserError(
                "width",
                value=width,
                problem="a factor on 96 channels",
                fix="set 1 for the paper's network",
            )
        small, large = round(96 * width), round(192 * width)
        plan = [
            (small, 3, 1),
            (small, 3, 1),
            (large, 3, 2),
            (large, 3, 1),
            (large, 3, 1),
            (large, 3, 2),
            (large, 3, 1),
            (large, 1, 1),
        ]
        super().__init__(in_channels, num_classes, plan, norm, activation)


class DepthCNN(_PlainCNN):
    """The depth-varying network of Achille et al. 2019.

    As restated by Kleinman et al. 2023, https://arxiv.org/abs/2210.04643.

    96 - [96·2^(i-1) - 96·2^i/2] for i = 1…n - 96·2^n - 96·2^n (1x1) - classes (1x1), with batch
    norm and ReLU.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        n: number of halvings, 1 to 3 in the papers.
        norm: as for `AllCNN`.
        activation: as for `AllCNN`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        n: int = 1,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        check_sizes(n=n)
        plan = [(96, 3, 1)]
        for i in range(1, n + 1):
            plan += [(96 * 2 ** (i - 1), 3, 1), (96 * 2**i, 3, 2)]
        plan += [(96 * 2**n, 3, 1), (96 * 2**n, 1, 1)]
        super().__init__(in_channels, num_classes, plan, norm, activation)
