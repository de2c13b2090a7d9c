"""Ranks of the last hidden features."""

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.features import check_last_layer, last_features
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from datamodules import ImageDataModule


def effective_rank(features: Tensor) -> float:
    """Return exp of the entropy of the singular values' shares (Roy & Vetterli 2007), in [1, min(examples, columns)].

    Args:
        features: (examples, columns), uncentred, as for all ranks here; of zeros only they have rank 0.
    """
    values = _singular(features)
    return float(torch.special.entr(values / values.sum()).sum().exp()) if values.any() else 0.0


def stable_rank(features: Tensor) -> float:
    """Return the squared Frobenius norm over the squared spectral norm, in [1, min(examples, columns)]; 0 for zeros."""
    values = _singular(features)
    return float(values.square().sum() / values[0].square()) if values.any() else 0.0


def srank(features: Tensor, delta: float = 0.01) -> int:
    """Return the number of leading singular values whose sum is at least 1 - delta of all (Kumar et al. 2021); 0 for zeros.

    What `shibhansh/loss-of-plasticity` calls the stable rank is this one (https://arxiv.org/abs/2010.14498).
    """
    sums = _singular(features).cumsum(0)
    return int((sums < (1 - delta) * sums[-1]).sum()) + 1 if sums.any() else 0


def _singular(features: Tensor) -> Tensor:
    values: Tensor = torch.linalg.svdvals(features.double()).cpu()  # cumsum has no deterministic form on GPUs
    return values


class Ranks(Diagnostic):
    """Effective rank, stable rank and srank of the last hidden features: of how many dimensions the last layer makes use.

    One forward pass over the probe and the singular values of its features. Values: `effective_rank`, `stable_rank`, `srank`.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the papers'
    convention is not known.
    """

    charts = ("effective_rank", "stable_rank", "srank")
    tags = charts

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without a last layer."""
        super().check(trainer, module)
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        check_last_layer(type(self).__name__, module, data.splits.train.shape)

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return the three ranks."""
        features = last_features(network_of(module), probe.images)
        return {"effective_rank": effective_rank(features), "stable_rank": stable_rank(features), "srank": srank(features)}
