"""How much mini-batch gradients differ."""

import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.function import mean_loss, parameters_of
from callbacks.diagnostics.gradient_covariance import gradient_covariance
from callbacks.diagnostics.probe import Probe
from callbacks.diagnostics.products import gradient
from callbacks.network import network_of
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time


class GradientNoise(Diagnostic):
    """Logs trace and largest eigenvalue of the covariance of mini-batch gradients (Jastrzebski et al. 2020, break-even point).

    Tags: `gradient_covariance/trace`, `gradient_covariance/eigenvalue`. Costs one gradient of the probe, and memory for examples /
    batch_size gradients. Batches are the same throughout a run.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's
    convention is not known.

    Args:
        every: how often.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force.
        batch_size: examples in each batch; the covariance is about inversely proportional to it.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: if the probe has fewer than two batches.
    """

    charts = ("gradient_covariance/trace", "gradient_covariance/eigenvalue")
    tags = charts

    def __init__(
        self,
        every: Time,
        early: bool = False,
        examples: int = 2048,
        impaired: bool = False,
        batch_size: int = 128,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, impaired, norm_statistics)
        if not 1 <= batch_size <= examples // 2:
            raise UserError("batch_size", batch_size, f"two batches at least must fit into examples: {examples}")
        self.batch_size = batch_size

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return trace and largest eigenvalue."""
        network, seed = network_of(module), trainer.datamodule.seed  # type: ignore[attr-defined]  # set by a helper of Trainer
        parameters = parameters_of(network)
        order = torch.randperm(len(probe.labels), generator=generator(seed, "gradient noise")).to(probe.labels.device)
        size = min(self.batch_size, len(order) // 2)
        batches = [batch for batch in torch.split(order, size) if len(batch) == size]
        losses = [mean_loss(network, probe.images[batch], probe.labels[batch]) for batch in batches]
        found = gradient_covariance([gradient(loss, parameters) for loss in losses])
        return {"gradient_covariance/trace": found.trace, "gradient_covariance/eigenvalue": found.largest}
