"""How the loss rises around the weights."""

from collections.abc import Mapping

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.function import Loss, Parameters, gradients, mean_loss, norm, parameters_of
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time


def gaussian(parameters: Mapping[str, Tensor], seed: int, draw: int) -> Parameters:
    """Draw standard normal noise for each parameter, from a stream of its own keyed by seed, draw and its name."""
    streams = {name: generator(seed, "Flatness", draw, name) for name in parameters}
    return {name: torch.randn(one.shape, generator=streams[name]).to(one) for name, one in parameters.items()}


@torch.no_grad()
def filter_relative(noise: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> Parameters:
    """Give the noise of each filter (unit) the filter's own norm, and none to biases and batch norm's parameters.

    As Li et al. 2018 do for their pictures of the loss (https://arxiv.org/abs/1712.09913); factors that batch norm undoes then
    change nothing.

    Args:
        noise: for each parameter.
        parameters: of those with more than one dimension the first counts filters.
    """
    relative = {}
    for name, one in parameters.items():
        if one.ndim < 2:
            relative[name] = torch.zeros_like(noise[name])
        else:
            norms, lengths = (part.flatten(1).norm(dim=1).view(-1, *[1] * (one.ndim - 1)) for part in (one, noise[name]))
            relative[name] = noise[name] * norms / lengths
    return relative


@torch.no_grad()
def loss_near(loss: Loss, parameters: Mapping[str, Tensor], direction: Mapping[str, Tensor], step: float) -> float:
    """Return L(w + step · direction)."""
    return float(loss({name: one + step * direction[name] for name, one in parameters.items()}))


def sam_sharpness(loss: Loss, parameters: Mapping[str, Tensor], rho: float) -> float:
    """Return L(w + rho · g / |g|) - L(w), the first-order estimate of how much the loss rises within a radius rho.

    The ascent step of SAM (Foret et al. 2021, https://arxiv.org/abs/2010.01412), with g the gradient on the whole probe; 0 where
    the gradient is 0.
    """
    here = loss(dict(parameters))
    ascent = gradients(here, dict(parameters))
    length = float(norm(ascent.values()))
    return loss_near(loss, parameters, ascent, rho / length) - float(here.detach()) if length else 0.0


class Flatness(Diagnostic):
    """Rise of the loss under Gaussian noise on the weights (Alabdulmohsin et al. 2021, 2109.00267), and at SAM's ascent step.

    The means over draws, the same ones throughout a run; normalisation statistics stay. Forward passes over the probe: one for each
    draw, level and variant, and one gradient. Values for each level: `loss_change/<level>`, the noise having that standard
    deviation, and `relative_loss_change/<level>`, each filter's noise having that share of its norm; `sam_sharpness`.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the papers'
    convention is not known; here statistics are those of the unperturbed network.

    Args:
        every: how often: `1ep` after each epoch, `100st` after so many optimizer steps.
        noise: levels above 0; none for SAM's sharpness alone.
        draws: number of draws, 1 or more.
        rho: radius of the ascent step, above 0; 0.05 in the paper.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force, as training has them.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for values outside their ranges.
    """

    charts = ("loss_change", "relative_loss_change", "sam_sharpness")
    tags = ("loss_change/<level>", "relative_loss_change/<level>", "sam_sharpness")

    def __init__(
        self,
        every: Time,
        noise: tuple[float, ...] = (0.01, 0.03, 0.1),
        draws: int = 10,
        rho: float = 0.05,
        early: bool = False,
        examples: int = 1000,
        impaired: bool = False,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, impaired, norm_statistics)
        if not all(level > 0 for level in noise) or len(set(noise)) < len(noise):
            raise UserError("noise", value=list(noise), fix="write different numbers above 0")
        if draws < 1:
            raise UserError("draws", value=draws, fix="write 1 or more")
        if not rho > 0:
            raise UserError("rho", value=rho, fix="write a number above 0")
        self.noise, self.draws, self.rho = tuple(noise), draws, rho

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return mean changes and the sharpness."""
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        network = network_of(module)
        parameters, loss = parameters_of(network), mean_loss(network, probe.images, probe.labels)
        here = loss_near(loss, parameters, parameters, 0)
        found = {f"{kind}/{level}": 0.0 for level in self.noise for kind in ("loss_change", "relative_loss_change")}
        for draw in range(self.draws if self.noise else 0):
            noise = gaussian(parameters, data.seed, draw)
            relative = filter_relative(noise, parameters)
            for level in self.noise:
                found[f"loss_change/{level}"] += (loss_near(loss, parameters, noise, level) - here) / self.draws
                found[f"relative_loss_change/{level}"] += (loss_near(loss, parameters, relative, level) - here) / self.draws
        return {**found, "sam_sharpness": sam_sharpness(loss, parameters, self.rho)}
