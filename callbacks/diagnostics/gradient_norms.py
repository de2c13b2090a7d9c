"""Whether old or new data drive training, by the norms of their gradients (Ash & Adams 2020)."""

from collections.abc import Iterable

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.function import gradients, mean_loss, parameters_of
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time


def mean_gradient_norm(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Return the mean over batches of the norm of the gradient of a batch's mean cross-entropy, by all trained parameters at once.

    That is not the norm of the mean gradient: it has each batch's noise, and so falls with the size of batches.

    Args:
        network: from images to logits (batch, classes).
        batches: images and labels; all of one size, to compare what they say.
    """
    parameters = parameters_of(network)
    norms = []
    for images, labels in batches:
        parts = gradients(mean_loss(network, images, labels)(parameters), parameters)
        norms.append(torch.stack([part.norm() for part in parts.values()]).norm())
    return float(torch.stack(norms).mean())


class GradientNorms(Diagnostic):
    """Gradient norms of old and new data (Ash & Adams 2020, Fig. 5, https://arxiv.org/abs/1910.08475).

    `gradient_norm/all` is the mean over mini-batches of the probe of the gradient's norm, on what is in the training data now; once
    they have grown, `gradient_norm/old` is that of the examples of earlier stages, `new` of those that the present stage has
    brought, and `imbalance` is new / old. Old and new batches have the same size, of which the norms depend: the smaller part's
    if that has no whole batch; a last, smaller batch is left out. The paper's are of training mode and of every epoch's batches.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's are of
    training mode, each batch with its own statistics.

    Args:
        every: as `Diagnostic`.
        batch_size: examples in a mini-batch.
        early: as `Diagnostic`.
        examples: as `Diagnostic`.
        impaired: as `Diagnostic`.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for batches of no examples.
    """

    charts = ("gradient_norm",)
    tags = ("gradient_norm/all", "gradient_norm/old", "gradient_norm/new", "gradient_norm/imbalance")

    def __init__(
        self,
        every: Time,
        batch_size: int = 128,
        early: bool = False,
        examples: int = 1000,
        impaired: bool = False,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, impaired, norm_statistics)
        if batch_size < 1:
            raise UserError("batch_size", value=batch_size, fix="write 1 or more")
        self.batch_size = batch_size

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return the norms; what has no example in the probe is left out."""
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        stages, stage = data.course.stages, data.now.stage
        mixed = torch.randperm(len(probe.labels), generator=generator(data.seed, "gradient norms"))
        indices = probe.indices.cpu()[mixed]
        present = torch.isin(indices, stages.members(stage))
        old = present & torch.isin(indices, stages.members(stage - 1)) if stage else present
        parts = {"all": mixed[present]}
        if stage and old.any() and not old.equal(present):
            parts |= {"old": mixed[old], "new": mixed[present & ~old]}
        shared = min(self.batch_size, *(len(part) for part in parts.values()))
        values = {}
        for name, part in parts.items() if shared else ():
            size = min(self.batch_size, len(part)) if name == "all" else shared
            whole = part[: len(part) // size * size].to(probe.labels.device).reshape(-1, size)
            batches = ((probe.images[chosen], probe.labels[chosen]) for chosen in whole)
            values[f"gradient_norm/{name}"] = mean_gradient_norm(network_of(module), batches)
        if values.get("gradient_norm/old"):
            values["gradient_norm/imbalance"] = values["gradient_norm/new"] / values["gradient_norm/old"]
        return values
