"""A network of finite width whose infinitely wide limit is known in closed form."""

from collections import OrderedDict
from math import prod

from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize, check_sizes, height_and_width
from lightning_modules.networks.wide_layers import (
    Parametrisation,
    WideConv,
    WideLinear,
    wide_activation,
)
from plasticity_lab.measurements.dual_activations import DualActivation
from plasticity_lab.measurements.infinite_network import InfiniteNetwork, WideKind


class WideNetwork(nn.Module):
    """Fully connected or convolutional, in NTK or standard parametrisation.

    Lee et al. 2020, https://arxiv.org/abs/2007.15801. `InfiniteNetwork` is its limit, to which
    `callbacks.InfiniteWidthReference` compares it.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        width: units, or channels, of each hidden layer.
        depth: hidden layers.
        kind: `dense`; or convolutions 3 x 3 and a readout of all positions (`flatten`) or of their
            average (`average`).
        activation: `relu` or `erf`.
        weight_variance: of hidden layers; 2 keeps the scale of ReLU.
        bias_variance: of hidden layers; 0 is no bias.
        readout_weight_variance: of the readout.
        readout_bias_variance: of the readout; 0 is no bias.
        parametrisation: `ntk` has N(0, 1) parameters and factors beside them, `standard` has the
            factors in the initial values.

    Raises:
        UserError: for sizes below 1 and variances below 0.

    Attributes:
        infinite: what it is in the limit of infinite width.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        width: int = 512,
        depth: int = 1,
        kind: WideKind = "dense",
        activation: DualActivation = "relu",
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        readout_weight_variance: float = 1.0,
        readout_bias_variance: float = 0.0,
        parametrisation: Parametrisation = "ntk",
    ) -> None:
        super().__init__()
        check_sizes(width=width)
        self.infinite = InfiniteNetwork(
            depth,
            kind,
            activation,
            weight_variance,
            bias_variance,
            readout_weight_variance,
            readout_bias_variance,
        )
        positions = prod(height_and_width(image_size))
        dense = kind == "dense"

        features = in_channels * positions if dense else in_channels
        for number in range(1, depth + 1):
            make, name = (WideLinear, "linear") if dense else (WideConv, "conv")
            layers: dict[str, nn.Module] = {
                name: make(features, width, weight_variance, bias_variance, parametrisation),
                "activation": wide_activation(activation),
            }
            self.add_module(f"hidden{number}", nn.Sequential(OrderedDict(layers)))
            features = width

        features = width * positions if kind == "flatten" else width
        readout = readout_weight_variance, readout_bias_variance
        self.head = WideLinear(features, num_classes, *readout, parametrisation)
        self.blocks = (*(f"hidden{number}" for number in range(1, depth + 1)), "head")

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to outputs (batch, classes)."""
        if self.infinite.kind == "dense":
            x = x.flatten(1)
        for name in self.blocks[:-1]:
            x = self.get_submodule(name)(x)
        if self.infinite.kind == "average":
            x = x.mean((2, 3))
        outputs: Tensor = self.head(x.flatten(1))
        return outputs
