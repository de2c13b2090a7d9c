"""Similarity to the features of another network."""

import copy
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.features import block_outputs, check_blocks, check_last_layer, last_features
from callbacks.diagnostics.gram import cosine, gram
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from callbacks.norm_statistics import estimate
from datamodules import ImageDataModule
from plasticity_lab.checkpoint_files import check_network, read_checkpoint
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Return the linear CKA of two feature matrices, in [0, 1] (Kornblith et al. 2019, https://arxiv.org/abs/1905.00414).

    |Y'X|² / (|X'X| |Y'Y|) of centred columns, with Frobenius norms. Rotations and factors of either change nothing.

    Args:
        one: (examples, columns).
        other: (examples, other columns), of the same examples.
    """
    return cosine(gram(one), gram(other))


class Similarity(Diagnostic):
    """Linear CKA of the features with those of a reference network, on the same images.

    Values: `cka` of the last hidden features, `cka/<block>` of the output of each block with every position a feature. Two forward
    passes over the probe, and products of all pairs of examples for each block. With its initial network as the reference it keeps
    their matrices, examples² numbers for each block, in checkpoints. Inputs with deficits would make the reference another
    with time: it has none.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's
    convention is not known.

    Args:
        every: how often: `1ep` after each epoch, `100st` after so many optimizer steps.
        reference: a checkpoint; None is this run's network before the first batch (in a branch from a checkpoint that has none,
            the first network measured).
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for a checkpoint that is missing, damaged or of another network.
    """

    charts = ("cka",)
    tags = (*charts, "cka/<block>")

    def __init__(
        self,
        every: Time,
        reference: str | None = None,
        early: bool = False,
        examples: int = 1000,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, norm_statistics=norm_statistics)
        self.reference = reference
        self._grams: dict[str, Tensor] | None = None

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a reference that cannot be compared with."""
        super().check(trainer, module)
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        check_last_layer(type(self).__name__, module, data.splits.train.shape)
        check_blocks(type(self).__name__, module, data.splits.train.shape)
        if self.reference is not None:
            self._read(Path(self.reference), module)

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return the similarity of last features and of blocks."""
        now = _grams(network_of(module), probe.images)
        if self._grams is None:
            self._grams = now if self.reference is None else self._of_reference(module, probe.images)
        found = {name: cosine(one, self._grams[name].to(one.device)) for name, one in now.items()}
        return {f"cka/{name}".rstrip("/"): value for name, value in found.items()}

    def _of_reference(self, module: LightningModule, images: Tensor) -> dict[str, Tensor]:
        assert self.reference is not None
        state, other = self._read(Path(self.reference), module), copy.deepcopy(network_of(module))
        start = "" if network_of(module) is module else "network."
        other.load_state_dict({name.removeprefix(start): value for name, value in state.items() if name.startswith(start)})
        if self.norm_statistics == "estimated":
            estimate(other, images, frozen=self._frozen)
        return _grams(other, images)

    def _read(self, path: Path, module: LightningModule) -> dict[str, Tensor]:
        if not path.is_file():
            raise UserError(f"{type(self).__name__}: reference", value=path, problem="no such file", fix="name a checkpoint")
        try:
            checkpoint = read_checkpoint(path)
            check_network(checkpoint, module.state_dict(), path)
        except UserError as error:
            raise UserError(f"{type(self).__name__}: reference", error.value, error.problem, error.fix) from error
        state: dict[str, Tensor] = checkpoint["state_dict"]
        return state

    def state_dict(self) -> dict[str, Any]:
        """Return the matrices of the network before the first batch."""
        if self.reference is not None or self._grams is None:
            return {}
        return {"grams": {name: one.cpu() for name, one in self._grams.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._grams = state_dict["grams"]


@torch.no_grad()
def _grams(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the matrix of the last hidden features (key ``""``) and of each block."""
    last = gram(last_features(network, images))
    return {"": last, **{name: gram(one) for name, one in block_outputs(network, images).items()}}
