"""Layers in the parametrisations of wide networks."""

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.measurements.dual_activations import DualActivation

Parametrisation = Literal["ntk", "standard"]
"""Where the scale of a layer stands: in factors beside N(0, 1) parameters, or in the parameters.

Both give the same outputs in distribution. Gradient descent differs: at one learning rate, wide
layers of the standard parametrisation learn faster by the factor of their width (Lee et al. 2020,
https://arxiv.org/abs/2007.15801).
"""


class Erf(nn.Module):
    """The error function, elementwise.

    Examples:
        >>> Erf()(torch.zeros(2))
        tensor([0., 0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(…) to (…)."""
        return x.erf()


def wide_activation(activation: DualActivation) -> nn.Module:
    """Return the layer of an activation."""
    layers: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "erf": Erf}
    return layers[activation]()


class _Scales:
    """Standard deviations of what a layer adds up, and where they stand.

    Args:
        fan_in: numbers that each output sums.
        weight_variance: of an output, from the weights, given inputs of mean square 1.
        bias_variance: of the bias.
        parametrisation: where they stand.
    """

    def __init__(
        self,
        fan_in: int,
        weight_variance: float,
        bias_variance: float,
        parametrisation: Parametrisation,
    ) -> None:
        weight, bias = math.sqrt(weight_variance / fan_in), math.sqrt(bias_variance)
        in_factors = parametrisation == "ntk"
        self.weight_factor, self.bias_factor = (weight, bias) if in_factors else (1.0, 1.0)
        self.drawn_weight, self.drawn_bias = (1.0, 1.0) if in_factors else (weight, bias)

    def draw(self, layer: nn.Linear | nn.Conv2d) -> None:
        """Draw the initial values of a layer in place."""
        nn.init.normal_(layer.weight, std=self.drawn_weight)
        if layer.bias is not None:
            nn.init.normal_(layer.bias, std=self.drawn_bias)

    def scaled(self, layer: nn.Linear | nn.Conv2d) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias that a layer computes with."""
        bias = None if layer.bias is None else self.bias_factor * layer.bias
        return self.weight_factor * layer.weight, bias


class WideLinear(nn.Linear):
    """A linear layer whose outputs have a given variance at initialisation, at every width.

    Args:
        inputs: features.
        outputs: features.
        weight_variance: sqrt(weight_variance / inputs) is the scale of W x.
        bias_variance: of the bias; 0 is no bias.
        parametrisation: where the scales stand.

    Examples:
        >>> WideLinear(3, 2, weight_variance=2.0, bias_variance=0.0, parametrisation="ntk").bias
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        weight_variance: float,
        bias_variance: float,
        parametrisation: Parametrisation,
    ) -> None:
        self.scales = _Scales(inputs, weight_variance, bias_variance, parametrisation)
        super().__init__(inputs, outputs, bias=bias_variance > 0)

    def reset_parameters(self) -> None:
        """Draw weights and bias."""
        self.scales.draw(self)

    def forward(self, input: Tensor) -> Tensor:
        """(…, inputs) to (…, outputs)."""
        return F.linear(input, *self.scales.scaled(self))


class WideConv(nn.Conv2d):
    """A 3 x 3 convolution with zero padding, scaled as `WideLinear`; its fan-in is 9 x inputs.

    Args:
        inputs: channels.
        outputs: channels.
        weight_variance: as `WideLinear`.
        bias_variance: as `WideLinear`.
        parametrisation: as `WideLinear`.

    Examples:
        >>> WideConv(3, 8, 2.0, 0.0, "ntk")(torch.zeros(1, 3, 5, 5)).shape
        torch.Size([1, 8, 5, 5])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        weight_variance: float,
        bias_variance: float,
        parametrisation: Parametrisation,
    ) -> None:
        self.scales = _Scales(9 * inputs, weight_variance, bias_variance, parametrisation)
        super().__init__(inputs, outputs, 3, padding=1, bias=bias_variance > 0)

    def reset_parameters(self) -> None:
        """Draw kernels and bias."""
        self.scales.draw(self)

    def forward(self, input: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height, width)."""
        outputs: Tensor = self._conv_forward(input, *self.scales.scaled(self))
        return outputs
