"""Margins of classification."""

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.measurements.margins import lowest_tenth, margins, weight_norm


@dataclass(repr=False, eq=False, kw_only=True)
class Margins(ProbeDiagnostic):
    """Margins of the probe: 10 % quantile, median and share below 0, raw and over the weight norm.

    The 10 % quantile of n margins is the (n // 10)-th smallest (the smallest of fewer than ten), as
    in nitarshan/robust-generalization-measures, the code of Dziugaite et al. 2020; the median is
    interpolated linearly. The margin over |w|, of all trained weights, is the simplest of those
    normalised (cf. Bartlett et al. 2017, Jiang et al. 2020). Alabdulmohsin et al. 2021
    (https://arxiv.org/abs/2109.00267) find that margins grow under layer-wise resets while the norm
    does not. Batch norm is not folded into the weights. One forward pass. Values: `margin/q10`,
    `margin/median`, `margin/negative`, `normalised_margin/q10`, `normalised_margin/median`;
    picture: `margins`. For classification only.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; reference code
    folds running statistics into the weights; the convention of Alabdulmohsin et al. is not known.

    Example:
        ```yaml
        class_path: callbacks.Margins
        init_args: {every: 1ep}
        ```
    """

    charts = ("margin", "normalised_margin")
    tags = (
        "margin/median",
        "margin/negative",
        "margin/q10",
        "normalised_margin/median",
        "normalised_margin/q10",
    )

    def check(self, look: Look) -> None:
        """Refuse another task than classification."""
        look.check_classification()

    def measure(self, look: Look) -> Measured:
        """Return quantiles, share and histogram."""
        signed = margins(look.outputs(), look.probe.targets).double()
        low, middle = lowest_tenth(signed), float(signed.quantile(0.5))
        size = weight_norm(look.parameters.values())
        return {
            "margin/q10": low,
            "margin/median": middle,
            "margin/negative": float((signed < 0).double().mean()),
            "normalised_margin/q10": low / size,
            "normalised_margin/median": middle / size,
            "margins": plot_margins(signed),
        }


def plot_margins(values: Tensor) -> Figure:
    """Draw how margins are distributed."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(values.cpu().numpy(), bins=50, color="tab:blue")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("margin (logit of the label minus the largest other)")
    axes.set_ylabel("examples")
    return figure
