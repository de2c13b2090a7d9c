"""Units that are dormant or dead."""

from dataclasses import dataclass

from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.activations import activated, check_activated
from plasticity_lab.measurements.dormant_units import dead, dormant, magnitudes, shares


@dataclass(repr=False, eq=False, kw_only=True)
class DormantUnits(ProbeDiagnostic):
    """Shares of dormant and of dead units (Sokar et al. 2023, https://arxiv.org/abs/2302.12902).

    In all activations of hidden layers and by block. A unit is a feature (over all tokens), or a
    channel over all its positions, after a ReLU, GELU, SiLU, tanh or the like; of CReLU the
    positive and the negative part are a unit each. It is dormant if its mean absolute activation is
    at most tau times the mean of its layer, dead if it is zero on the whole probe, which ReLU makes
    many, GELU those far below 0, and tanh none. One forward pass. Values: `dormant`,
    `dormant/<block>`, `dead`, `dead/<block>`.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    convention is not known.

    Args:
        tau: 0 or more; 0.025 and 0.1 in the paper. 0 is the released code's default: dead units
            alone.

    Raises:
        UserError: for a negative tau, or a network without an activation.

    Example:
        ```yaml
        class_path: callbacks.DormantUnits
        init_args: {every: 1ep, tau: 0.1}
        ```
    """

    charts = ("dormant", "dead")
    tags = (*charts, "dormant/<block>", "dead/<block>")

    tau: float = 0.025

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if not self.tau >= 0:
            raise UserError("tau", value=self.tau, fix="set 0 or more")

    def check(self, look: Look) -> None:
        """Refuse a network without activations."""
        check_activated(look.network, look.probe.inputs)

    def measure(self, look: Look) -> Measured:
        """Return the shares."""
        layers = activated(
            look.network, look.probe.inputs, lambda number, output: magnitudes(output)
        )
        dormant_units: dict[str, list[Tensor]] = {}
        dead_units: dict[str, list[Tensor]] = {}
        for block, activities in layers.items():
            dormant_units[block] = [dormant(activity, self.tau) for activity in activities]
            dead_units[block] = [dead(activity) for activity in activities]

        measured: dict[str, float] = {}
        for kind, marked in (("dormant", dormant_units), ("dead", dead_units)):
            for block, share in shares(marked).items():
                measured[f"{kind}/{block}".rstrip("/")] = share
        return measured
