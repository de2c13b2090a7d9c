"""The residual networks that were made for CIFAR-10."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from lightning_modules.networks.layers import Elementwise, Norm, check_sizes, conv_block
from lightning_modules.networks.residual import PostActivation
from plasticity_lab.errors import UserError


class CifarResNet(nn.Module):
    """ResNet-20, 32, 56 and 110 for CIFAR-10: three stages of 16, 32 and 64 channels.

    He et al. 2015, section 4.2, https://arxiv.org/abs/1512.03385.

    6n + 2 layers: a 3x3 convolution, n basic blocks in each stage, the mean over positions, and a
    linear layer. ResNet-20 has 0.27 M parameters; the lottery-ticket papers call it "ResNet-18".
    Convolutions have no bias. The paper draws weights by Kaiming's rule (`initialisation:
    kaiming_fan_out`); here they are torch's.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        depth: layers, 6n + 2: 20, 32, 44, 56 and 110 in the paper.
        width: channels of the first stage; 16 in the paper.
        shortcut: between stages: `padding` with channels of zeros, which has no parameters (option
            A of the paper), or a `projection` by a 1x1 convolution (option B, as in open_lth).
        norm: `batch` in the paper, `group` (groups of 16 channels), `layer`, or `none`, which also
            gives the convolutions a bias.
        activation: `relu` in the paper, `leaky_relu`, `gelu` or `tanh`.
        inner: channels between the two convolutions of each block, bottom to top, in place of those
            of its stage: of a network whose filters are pruned (Li et al. 2017).

    Raises:
        UserError: for another depth, or another number of `inner` than there are blocks.

    Example:
        ```yaml
        class_path: lightning_modules.networks.CifarResNet
        init_args: {depth: 20}
        ```
    """

    blocks = ("stem", "layer1", "layer2", "layer3", "head")

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int = 20,
        width: int = 16,
        shortcut: Literal["padding", "projection"] = "padding",
        norm: Norm = "batch",
        activation: Elementwise = "relu",
        inner: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_sizes(width=width)
        if depth < 8 or depth % 6 != 2:
            raise UserError(
                "depth", value=depth, problem="is not 6n + 2", fix="set 20, 32, 44, 56 or 110"
            )
        count = (depth - 2) // 6
        if inner is not None and len(inner) != 3 * count:
            raise UserError(
                "inner",
                value=list(inner),
                problem=f"are {len(inner)}, and there are {3 * count} blocks",
                fix="set one number for each",
            )
        check_sizes(inner=min(inner or [1]))
        self.stem = conv_block(in_channels, width, 3, 1, norm, activation)
        channels = width
        for stage in range(3):
            layers = nn.Sequential()
            for index in range(count):
                outputs, stride = width * 2**stage, 2 if stage > 0 and index == 0 else 1
                between = inner[stage * count + index] if inner else outputs
                block = PostActivation(
                    channels, outputs, stride, norm, activation, shortcut, between
                )
                layers.append(block)
                channels = outputs
            self.add_module(f"layer{stage + 1}", layers)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        for name in self.blocks[:-1]:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits
