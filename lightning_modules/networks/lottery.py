"""The small networks of the lottery-ticket papers (Frankle & Carbin 2019)."""

from typing import Literal

from torch import Tensor, nn

from lightning_modules.networks.layers import (
    Activation,
    ImageSize,
    Norm,
    check_halvings,
    conv_block,
    height_and_width,
    linear_block,
    units_after,
    units_before,
)
from lightning_modules.networks.mlp import MLP
from plasticity_lab.errors import UserError


class LeNet300(MLP):
    """LeNet-300-100: two hidden layers of 300 and 100 units (LeCun et al. 1998).

    The MNIST network of Frankle & Carbin 2019, https://arxiv.org/abs/1803.03635: 266,200 weights
    and 410 biases on images of 28 x 28 pixels. The paper draws weights by Glorot's normal rule;
    here they are torch's.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        norm: as for `MLP`; none in the paper.
        activation: as for `MLP`; `relu` in the paper.

    Example:
        ```yaml
        class_path: lightning_modules.networks.LeNet300
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        norm: Norm = "none",
        activation: Activation = "relu",
    ) -> None:
        super().__init__(in_channels, num_classes, image_size, (300, 100), norm, activation)


class ConvN(nn.Module):
    """Conv-2, Conv-4 and Conv-6: a small VGG (Frankle & Carbin 2019).

    https://arxiv.org/abs/1803.03635

    3x3 convolutions 64 - 64 - pool, then 128 - 128 - pool (`depth` 4 and 6), then 256 - 256 - pool
    (6), with 2x2 max-pooling; hidden linear layers of 256 and 256 units; classes. On 32 x 32 x 3
    with ten classes 4.30 M, 2.43 M and 2.26 M parameters. (The paper's table has 4.3 M, 2.4 M and
    1.7 M; the last does not follow from the layers in that table.) The paper draws weights by
    Glorot's normal rule; here they are torch's.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        depth: convolutions: 2, 4 or 6.
        norm: after each layer but the last; none in the paper. `batch`, `group` (groups of 16
            channels) and `layer` leave the convolutions without a bias.
        activation: `relu` in the paper, `leaky_relu`, `gelu`, `tanh`, `crelu` (the widths are those
            before it, twice as many units come out) or `crelu_half` (half as many before it).
        width: factor on all channels and hidden units.

    Raises:
        UserError: for images that the poolings make smaller than a pixel.

    Example:
        ```yaml
        class_path: lightning_modules.networks.ConvN
        init_args: {depth: 4}
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        depth: Literal[2, 4, 6] = 2,
        norm: Norm = "none",
        activation: Activation = "relu",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if depth not in (2, 4, 6):
            raise UserError("depth", value=depth, fix="set 2, 4 or 6")
        if not round(64 * width) >= 1:
            raise UserError(
                "width", value=width, problem="a factor on 64 channels", fix="set 1 for the paper's"
            )
        check_halvings(image_size, depth // 2)
        names, channels = [], in_channels
        for number in range(1, depth + 1):
            outputs = units_before(activation, round(64 * 2 ** ((number - 1) // 2) * width))
            block = conv_block(channels, outputs, 3, 1, norm, activation)
            if number % 2 == 0:
                block.append(nn.MaxPool2d(2))
            names.append(f"conv{number}")
            self.add_module(names[-1], block)
            channels = units_after(activation, outputs)

        # The map of the last pooling is flattened.
        rows, columns = (side // 2 ** (depth // 2) for side in height_and_width(image_size))
        features, units = channels * rows * columns, units_before(activation, round(256 * width))
        for number in (1, 2):
            names.append(f"hidden{number}")
            self.add_module(names[-1], linear_block(features, units, norm, activation))
            features = units_after(activation, units)
        self.head = nn.Linear(features, num_classes)
        self.blocks = (*names, "head")

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        for name in self.blocks:
            if name == "hidden1":
                x = x.flatten(1)
            x = self.get_submodule(name)(x)
        return x
