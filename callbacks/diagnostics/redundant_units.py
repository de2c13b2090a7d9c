"""Units that add nothing of their own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.activations import Call, by_block, recorded
from plasticity_lab.measurements.dormant_units import shares
from plasticity_lab.measurements.redundant_units import (
    ELEMENTWISE,
    check_activations,
    duplicate_units,
    linearised_units,
    saturated_units,
    slope_shares,
    slopes,
    unit_products,
)


@dataclass(repr=False, eq=False, kw_only=True)
class RedundantUnits(ProbeDiagnostic):
    """Shares of units that are duplicates, saturated or linearised.

    In all activation functions and by block. A unit is a feature, or a channel over all its
    positions, after a ReLU, hyperbolic tangent, sigmoid or any other activation function of torch.

    `units/duplicate`: the cosine of its outputs on the probe with those of an earlier unit of its
    layer is at least `threshold` in absolute value (as in ajoudaki/loss-of-plasticity).
    `units/saturated`: the derivative of its activation is 0 (up to 0.001) on at least 1 - tau of
    the examples, so that no gradient passes it: dead ReLUs, and hyperbolic tangents and sigmoids
    that are far out. `units/linearised`: it is 1 on at least 1 - tau of them, as of a ReLU that is
    always on (a "zombie" unit, Lyle et al. 2024, https://arxiv.org/abs/2402.18762). Each also by
    block, as `units/duplicate/<block>`. One forward pass, the derivatives of activations, and the
    products of all pairs of units of a layer.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the papers'
    convention is not known.

    Args:
        threshold: in (0, 1].
        tau: in [0, 1).

    Raises:
        UserError: for values out of range, or a network without activation functions.

    Example:
        ```yaml
        class_path: callbacks.RedundantUnits
        init_args: {every: 1ep, threshold: 0.95}
        ```
    """

    charts = ("units/duplicate", "units/saturated", "units/linearised")
    tags = tuple(f"{name}{block}" for name in charts for block in ("", "/<block>"))

    threshold: float = 0.95
    tau: float = 0.01

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if not 0 < self.threshold <= 1:
            raise UserError("threshold", self.threshold, fix="set a number in (0, 1]")
        if not 0 <= self.tau < 1:
            raise UserError("tau", self.tau, fix="set a number in [0, 1)")

    def check(self, look: Look) -> None:
        """Refuse a network without activation functions."""
        check_activations(look.network, look.probe.inputs)

    def measure(self, look: Look) -> Measured:
        """Return the shares."""
        products: dict[int, Tensor] = {}

        def take(number: int, call: Call) -> Tensor:
            # Products add up over chunks; of the others there is a row for each example.
            products[number] = products.get(number, 0) + unit_products(call.units)
            found = call.arranged(slopes(call))
            return torch.stack([slope_shares(found, 0.0), slope_shares(found, 1.0)], 1)

        layers = recorded(look.network, look.probe.inputs, ELEMENTWISE, take)
        marked: dict[str, list[tuple[str, Tensor]]] = {
            "saturated": [(block, saturated_units(row[:, 0], self.tau)) for block, row in layers],
            "linearised": [(block, linearised_units(row[:, 1], self.tau)) for block, row in layers],
            "duplicate": [
                (block, duplicate_units(products[number], self.threshold))
                for number, (block, _) in enumerate(layers)
            ],
        }
        return {
            f"units/{kind}/{block}".rstrip("/"): share
            for kind, units in marked.items()
            for block, share in shares(by_block(units)).items()
        }
