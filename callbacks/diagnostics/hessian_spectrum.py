"""The whole spectrum of the Hessian, as a picture."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.functional import flatten
from plasticity_lab.measurements.hvp import check_twice_differentiable, hessian_vector_product
from plasticity_lab.measurements.lanczos_quadrature import (
    Nodes,
    hutchinson,
    lanczos_quadrature,
    smoothed_density,
)


@dataclass(repr=False, eq=False, kw_only=True)
class HessianSpectrum(ProbeDiagnostic):
    """Density of the Hessian's eigenvalues, their sum and extremes (Ghorbani et al. 2019).

    https://arxiv.org/abs/1901.10159. Tags: `hessian/trace` with its standard error
    `hessian/trace_error`, by random signs; `hessian/smallest` and `hessian/largest`; the figure
    `hessian/density`, by stochastic Lanczos quadrature, smoothed as the authors' code does: by a
    Gaussian of variance 1e-5 x max(1, range of the eigenvalues). Costs draws x steps + signs
    products, each two to three gradients of the probe: for now and then.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    convention is not known; it compares networks with and without batch norm.

    Args:
        steps: of Lanczos, for each draw, at least 2.
        draws: start vectors, at least 1.
        signs: vectors of random signs for the trace, at least 2.

    Raises:
        UserError: for fewer steps, draws or signs, or a network without second derivatives.

    Example:
        ```yaml
        class_path: callbacks.HessianSpectrum
        init_args: {every: 10ep, steps: 80, draws: 4}
        ```
    """

    charts = ("hessian/trace", "hessian/largest", "hessian/smallest")
    tags = (*charts, "hessian/trace_error")

    examples: int = 512
    steps: int = 80
    draws: int = 4
    signs: int = 100

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        minimums = {"steps": 2, "draws": 1, "signs": 2}
        for key, number in minimums.items():
            if getattr(self, key) < number:
                raise UserError(key, value=getattr(self, key), fix=f"set {number} or more")

    def check(self, look: Look) -> None:
        """Refuse a network without second derivatives."""
        check_twice_differentiable(look.loss, look.parameters)

    def measure(self, look: Look) -> Measured:
        """Return trace, extremes and picture."""
        product = hessian_vector_product(look.loss, look.parameters)
        vector = flatten(look.parameters).detach()
        signs = look.generator("signs", look.step)
        trace, error = hutchinson(product, vector, self.signs, signs)
        steps, draws = min(self.steps, len(vector)), look.generator("quadrature", look.step)
        nodes = lanczos_quadrature(product, vector, steps, self.draws, draws)
        return {
            "hessian/trace": trace,
            "hessian/trace_error": error,
            "hessian/smallest": float(nodes.values.min()),
            "hessian/largest": float(nodes.values.max()),
            "hessian/density": plot_density(nodes, look.step),
        }


def plot_density(nodes: Nodes, step: int) -> Figure:
    """Draw the smoothed density of eigenvalues on a logarithmic axis."""
    points, shares = smoothed_density(nodes)
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(points, shares.clamp_min(1e-12))
    width = float(points[-1] - points[0])
    axes.set(
        xlabel="eigenvalue of the Hessian",
        ylabel="share per unit",
        title=f"after {step} steps",
        ylim=(1e-7 / width, None),
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
