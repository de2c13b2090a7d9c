"""Layers that several networks share."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError

Norm = Literal["batch", "group", "layer", "none"]
"""`group` has groups of 16 channels, or fewer groups where 16 does not divide the channels.

`layer` normalises each example over all channels and positions, with a scale and a shift for each
channel: group norm of one group, as Wu & He 2018 define it for maps
(https://arxiv.org/abs/1803.08494).
"""

Elementwise = Literal["relu", "leaky_relu", "gelu", "tanh"]
"""Activations with as many outputs as inputs; `leaky_relu` has torch's slope of 0.01."""

Activation = Literal["relu", "leaky_relu", "gelu", "tanh", "crelu", "crelu_half"]
"""Activations, with concatenated ReLU in both of its capacity conventions (Abbas et al. 2023).

https://arxiv.org/abs/2303.07507

`crelu` keeps the number of units before the activation, and twice as many come out of it:
parameters double in every layer but the first ("invariant input dimension"). `crelu_half` keeps the
number that comes out, and half as many are before it: parameters halve in every layer but the last
("invariant output dimension"). Thus `crelu_half` at a width is `crelu` at half that width.
"""

ImageSize = int | tuple[int, int]
"""Pixels of an image: height and width, or one number for a square."""


class CReLU(nn.Module):
    """Concatenated ReLU: the positive and the negative part, side by side (Shang et al. 2016).

    https://arxiv.org/abs/1603.05201

    Examples:
        >>> CReLU()(torch.tensor([[1.0, -2.0]]))
        tensor([[1., 0., 0., 2.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, units, …) to (batch, 2 units, …)."""
        return F.relu(torch.cat([x, -x], 1))


def height_and_width(size: ImageSize) -> tuple[int, int]:
    """Return both, of squares too."""
    return (size, size) if isinstance(size, int) else size


def check_sizes(**sizes: int) -> None:
    """Refuse sizes below 1, by name."""
    for name, value in sizes.items():
        if value < 1:
            raise UserError(name, value=value, fix="set 1 or more")


def check_halvings(size: ImageSize, halvings: int) -> None:
    """Refuse images that are smaller than one pixel after so many halvings."""
    least = 2**halvings
    if min(height_and_width(size)) < least:
        raise UserError(
            "image size",
            value=size,
            problem=f"{halvings} poolings halve the images",
            fix=f"use images of {least} pixels or more, or another network",
        )


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Return a normalisation of maps (batch, channels, height, width), or the identity."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(_groups(channels), channels)
    if norm == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


def unit_normalisation(norm: Norm, units: int) -> nn.Module:
    """Return a normalisation of features (batch, units), or the identity."""
    if norm == "batch":
        return nn.BatchNorm1d(units)
    if norm == "group":
        return nn.GroupNorm(_groups(units), units)
    if norm == "layer":
        return nn.LayerNorm(units)
    return nn.Identity()


def _groups(channels: int) -> int:
    most = max(1, channels // 16)
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def activation_layer(activation: Activation) -> nn.Module:
    """Return an activation of features or maps."""
    layers: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "gelu": nn.GELU,
        "tanh": nn.Tanh,
        "crelu": CReLU,
        "crelu_half": CReLU,
    }
    return layers[activation]()


def units_before(activation: Activation, units: int) -> int:
    """Return how many units a layer of a width has before its activation.

    Examples:
        >>> units_before("relu", 64), units_before("crelu", 64), units_before("crelu_half", 64)
        (64, 64, 32)
    """
    if activation != "crelu_half":
        return units
    if units % 2:
        raise UserError(
            "activation",
            value="crelu_half",
            problem=f"halves the width of every layer, and one is {units}",
            fix="set even widths",
        )
    return units // 2


def units_after(activation: Activation, units: int) -> int:
    """Return how many units come out of the activation of so many.

    Examples:
        >>> units_after("relu", 64), units_after("crelu", 64), units_after("crelu_half", 32)
        (64, 128, 64)
    """
    return 2 * units if activation in ("crelu", "crelu_half") else units


def conv(inputs: int, outputs: int, kernel: int, stride: int, norm: Norm) -> nn.Conv2d:
    """Return a convolution that keeps the size, up to its stride.

    It has a bias only where no normalisation follows.
    """
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=norm == "none")


def conv_block(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    norm: Norm,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Return convolution, normalisation and activation, named `conv`, `norm` and `activation`.

    Args:
        inputs: channels.
        outputs: channels before the activation.
        kernel: its side.
        stride: of the convolution.
        norm: of the maps.
        activation: of the maps.
    """
    layers = {
        "conv": conv(inputs, outputs, kernel, stride, norm),
        "norm": normalisation(norm, outputs),
        "activation": activation_layer(activation),
    }
    return nn.Sequential(OrderedDict(layers))


def linear_block(inputs: int, outputs: int, norm: Norm, activation: Activation) -> nn.Sequential:
    """Return linear layer, normalisation and activation, named `linear`, `norm`, `activation`.

    Arguments as `conv_block`; without normalisation there is no `norm`.
    """
    layers: dict[str, nn.Module] = {"linear": nn.Linear(inputs, outputs)}
    if norm != "none":
        layers["norm"] = unit_normalisation(norm, outputs)
    layers["activation"] = activation_layer(activation)
    return nn.Sequential(OrderedDict(layers))
