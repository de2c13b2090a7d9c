"""Which of two sensors units follow."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import check_last_layer
from plasticity_lab.measurements.source_variance import half_image_variances

POLARISED = 0.9
"""From which absolute relative source variance on a unit follows one sensor alone."""


@dataclass(repr=False, eq=False, kw_only=True)
class SourceVariance(ProbeDiagnostic):
    """Relative source variance of the last hidden features: which half of the image they follow.

    Kleinman, Achille & Soatto 2023, https://arxiv.org/abs/2210.04643. One half of an image is held
    fixed while the other one is that of every example of the probe; the relative source variance of
    a unit is (SV(left) - SV(right)) / (SV(left) + SV(right)), 1 where only the left half changes
    it and -1 where only the right one does. It is measured at `fixed` pairs of halves, and all
    units at all pairs count alike. Values: `source_variance/mean`, in [-1, 1];
    `source_variance/absolute`, the mean absolute value, 1 if every unit follows one sensor alone;
    `source_variance/left` and `/right`, shares of units above 0.9 and below -0.9; and
    `source_variance/silent`, the share of units that follow neither, which the others leave out.
    `source_variances` is a picture of them. 2 * fixed forward passes over the probe.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    code uses running ones.

    Args:
        fixed: number of examples whose halves are held fixed, 1 to `examples`; all, if the split
            has no more.

    Raises:
        UserError: for another number, inputs that are not images, or a network without last layer.

    Example:
        ```yaml
        class_path: callbacks.SourceVariance
        init_args: {every: 10ep, examples: 200}
        ```
    """

    charts = (
        "source_variance/mean",
        "source_variance/absolute",
        "source_variance/left",
        "source_variance/right",
    )
    tags = (*charts, "source_variance/silent")

    fixed: int = 5

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if not 1 <= self.fixed <= self.examples:
            raise UserError("fixed", self.fixed, fix=f"set 1 to {self.examples}, the probe's size")

    def check(self, look: Look) -> None:
        """Refuse inputs without halves, and a network without a last layer."""
        if look.probe.inputs.ndim != 4:
            raise UserError("data", problem="are no images, which have halves", fix="remove it")
        check_last_layer(look.network, look.probe.inputs)

    def measure(self, look: Look) -> Measured:
        """Return means, shares and a picture."""
        ratios = half_image_variances(look.network, look.probe.inputs, self.fixed).flatten()
        silent = ratios.isnan()
        measured: dict[str, float | Figure] = {"source_variance/silent": _mean(silent)}
        if silent.all():
            return measured
        ratios = ratios[~silent]
        return measured | {
            "source_variance/mean": _mean(ratios),
            "source_variance/absolute": _mean(ratios.abs()),
            "source_variance/left": _mean(ratios > POLARISED),
            "source_variance/right": _mean(ratios < -POLARISED),
            "source_variances": plot_ratios(ratios, look.step),
        }


def _mean(values: Tensor) -> float:
    return float(values.to(torch.float64).mean())


def plot_ratios(ratios: Tensor, step: int) -> Figure:
    """Draw how relative source variances are distributed."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(ratios.cpu().numpy(), bins=40, range=(-1, 1), color="tab:blue")
    axes.set_xlabel(f"relative source variance after {step} steps (1 is left, -1 right)")
    axes.set_ylabel("units")
    return figure
