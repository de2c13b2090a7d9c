"""Networks whose layers are infinitely wide."""

from dataclasses import dataclass
from typing import Literal, get_args

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.dual_activations import DualActivation

WideKind = Literal["dense", "flatten", "average"]
"""`dense` layers, or 3 x 3 convolutions (zero padding, stride 1) before a dense readout.

The readout of convolutions sees all positions (`flatten`, "VEC" in Lee et al. 2020) or their
average (`average`, "GAP").
"""


@dataclass(frozen=True)
class InfiniteNetwork:
    """Hidden layers of one kind and a readout, in NTK parametrisation, at infinite width.

    A layer computes sqrt(weight_variance / fan_in) W h + sqrt(bias_variance) b with independent
    standard normal W and b; the fan-in of a convolution counts all nine positions of its kernel,
    also at the borders.

    Args:
        depth: hidden layers, each followed by the activation.
        kind: of the layers.
        activation: `relu` or `erf`.
        weight_variance: of hidden layers, above 0; 2 keeps the scale of ReLU.
        bias_variance: of hidden layers; 0 is no bias.
        readout_weight_variance: of the readout, above 0.
        readout_bias_variance: of the readout; 0 is no bias.

    Raises:
        UserError: for other values.

    Examples:
        >>> InfiniteNetwork(depth=3, kind="flatten", weight_variance=1.5).depth
        3
    """

    depth: int = 1
    kind: WideKind = "dense"
    activation: DualActivation = "relu"
    weight_variance: float = 2.0
    bias_variance: float = 0.0
    readout_weight_variance: float = 1.0
    readout_bias_variance: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.depth < 1:
            raise UserError("depth", value=self.depth, fix="set 1 or more")
        for name, choices in (("kind", WideKind), ("activation", DualActivation)):
            if getattr(self, name) not in get_args(choices):
                fix = f"set one of {', '.join(get_args(choices))}"
                raise UserError(name, value=getattr(self, name), fix=fix)
        for name in ("weight_variance", "readout_weight_variance"):
            if not getattr(self, name) > 0:
                raise UserError(name, value=getattr(self, name), fix="set a number above 0")
        for name in ("bias_variance", "readout_bias_variance"):
            if not getattr(self, name) >= 0:
                raise UserError(name, value=getattr(self, name), fix="set 0 or more")
