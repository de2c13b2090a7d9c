"""The whole spectrum of the Hessian, as a picture."""

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.function import flat, mean_loss, parameters_of
from callbacks.diagnostics.probe import Probe
from callbacks.diagnostics.products import check_twice_differentiable, hessian_product
from callbacks.diagnostics.spectrum import Nodes, density, hutchinson, quadrature
from callbacks.network import network_of
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time

POINTS = 10_000


class HessianSpectrum(Diagnostic):
    """Draws the density of the Hessian's eigenvalues and logs their sum and extremes (Ghorbani, Krishnan & Xiao 2019).

    Tags: `hessian/trace` with its standard error `hessian/trace_error`, by random signs; `hessian/smallest` and `hessian/largest`;
    the figure `hessian/density`, by stochastic Lanczos quadrature, smoothed as the authors' code
    does: by a Gaussian of variance 1e-5 x max(1, range of the eigenvalues). Costs
    draws x steps + signs products, each two to three gradients of the probe: for now and then.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's
    convention is not known; it compares networks with and without batch norm.

    Args:
        every: how often.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force.
        steps: of Lanczos, for each draw.
        draws: start vectors.
        signs: vectors of random signs for the trace, at least 2.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for fewer steps, draws or signs than that.
    """

    charts = ("hessian/trace", "hessian/largest", "hessian/smallest")
    tags = (*charts, "hessian/trace_error")

    def __init__(
        self,
        every: Time,
        early: bool = False,
        examples: int = 512,
        impaired: bool = False,
        steps: int = 80,
        draws: int = 4,
        signs: int = 100,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, impaired, norm_statistics)
        for key, value, least in (("steps", steps, 2), ("draws", draws, 1), ("signs", signs, 2)):
            if value < least:
                raise UserError(key, value=value, fix=f"write {least} or more")
        self.steps, self.draws, self.signs = steps, draws, signs

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without second derivatives."""
        super().check(trainer, module)
        shape = trainer.datamodule.splits.train.shape  # type: ignore[attr-defined]  # set by a helper of Trainer
        check_twice_differentiable(type(self).__name__, module, shape)

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return trace, extremes and picture."""
        network, data = network_of(module), trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        parameters = parameters_of(network)
        product, vector = hessian_product(mean_loss(network, probe.images, probe.labels), parameters), flat(parameters).detach()
        trace, error = hutchinson(product, vector, self.signs, generator(data.seed, "signs", trainer.global_step))
        steps = min(self.steps, len(vector))
        nodes = quadrature(product, vector, steps, self.draws, generator(data.seed, "quadrature", trainer.global_step))
        return {
            "hessian/trace": trace,
            "hessian/trace_error": error,
            "hessian/smallest": float(nodes.values.min()),
            "hessian/largest": float(nodes.values.max()),
            "hessian/density": picture(nodes, trainer.global_step),
        }


def smoothed(nodes: Nodes) -> tuple[Tensor, Tensor]:
    """Return the density of eigenvalues by the rule of the authors' code: points, and the share of eigenvalues per unit there.

    Their 10,000 points reach from .01 below to .01 above the extreme eigenvalues (means over
    draws), and the variance of their Gaussian is 1e-5 x max(1, that range). The nodes are added
    to the points, since a peak is narrower than a step where the range is wide.
    """
    low, high = float(nodes.values.mean(0)[0]) - 0.01, float(nodes.values.mean(0)[-1]) + 0.01
    points = torch.cat([torch.linspace(low, high, POINTS, dtype=torch.float64), nodes.values.flatten()]).sort().values
    variance = 1e-5 * max(1.0, high - low)
    return points, torch.cat([density(nodes, part, variance) for part in torch.split(points, 1000)])


def picture(nodes: Nodes, step: int) -> Figure:
    """Draw the smoothed density of eigenvalues on a logarithmic axis."""
    points, shares = smoothed(nodes)
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(points, shares.clamp_min(1e-12))
    width = float(points[-1] - points[0])
    axes.set(xlabel="eigenvalue of the Hessian", ylabel="share per unit", title=f"after {step} steps", ylim=(1e-7 / width, None))
    axes.spines[["top", "right"]].set_visible(False)
    return figure
