"""Similarity to the features of another network."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.checkpoint_files import check_network, read_checkpoint
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import (
    block_outputs,
    check_blocks,
    check_last_layer,
    last_features,
)
from plasticity_lab.measurements.gram import cosine, gram
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics


@dataclass(repr=False, eq=False, kw_only=True)
class CKA(ProbeDiagnostic):
    """Linear CKA of the features with those of a reference network, on the same images.

    Kornblith et al. 2019, https://arxiv.org/abs/1905.00414. Values: `cka` of the last hidden
    features, `cka/<block>` of the output of each block with every position a feature. Two forward
    passes over the probe, and products of all pairs of examples for each block. With its initial
    network as the reference it keeps their matrices, examples² numbers for each block, in
    checkpoints. Inputs with deficits would make the reference another with time: it has none.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    convention is not known.

    Args:
        reference: a checkpoint; None is this run's network before the first batch (in a branch from
            a checkpoint that has none, the first network measured).

    Raises:
        UserError: for a checkpoint that is missing, damaged or of another network.

    Example:
        ```yaml
        class_path: callbacks.CKA
        init_args: {every: 1ep}
        ```
    """

    charts = ("cka",)
    tags = (*charts, "cka/<block>")
    follows_examples = True

    impaired: bool = field(default=False, init=False)
    reference: str | None = None

    def begin(self) -> None:
        """Compare with nothing yet."""
        super().begin()
        self._grams: dict[str, Tensor] | None = None

    def check(self, look: Look) -> None:
        """Refuse a reference that cannot be compared with."""
        check_last_layer(look.network, look.probe.inputs)
        check_blocks(look.network, look.probe.inputs)
        if self.reference is not None:
            self._read(Path(self.reference), look.network)

    def measure(self, look: Look) -> Measured:
        """Return the similarity of last features and of blocks."""
        now = _grams(look.network, look.probe.inputs)
        if self._grams is None:
            self._grams = now if self.reference is None else self._of_reference(look)
        similarities = {
            name: cosine(matrix, self._grams[name].to(matrix.device))
            for name, matrix in now.items()
        }
        return {f"cka/{name}".rstrip("/"): value for name, value in similarities.items()}

    def _of_reference(self, look: Look) -> dict[str, Tensor]:
        assert self.reference is not None
        reference = copy.deepcopy(look.network)
        reference.load_state_dict(self._read(Path(self.reference), look.network))
        if self.norm_statistics == "estimated":
            estimate_norm_statistics(reference, look.probe.inputs, frozen=look.frozen_norms)
        return _grams(reference, look.probe.inputs)

    def _read(self, path: Path, network: nn.Module) -> dict[str, Tensor]:
        """Return the state of a network in a checkpoint."""
        if not path.is_file():
            raise UserError("reference", path, problem="no such file", fix="name a checkpoint")
        try:
            state_dict: dict[str, Tensor] = read_checkpoint(path)["state_dict"]
            # Most modules hold what they train as `network`, others are it themselves.
            start = "network." if any(name.startswith("network.") for name in state_dict) else ""
            state = {
                name.removeprefix(start): value
                for name, value in state_dict.items()
                if name.startswith(start)
            }
            check_network({"state_dict": state}, network.state_dict(), path)
        except UserError as error:
            raise UserError("reference", error.value, error.problem, error.fix) from error
        return state

    @property
    def needs_history(self) -> bool:
        """Whether one moment is not enough: without a reference the initial network is it."""
        return self.reference is None

    def state_dict(self) -> dict[str, Any]:
        """Return the matrices of the network before the first batch."""
        if self.reference is not None or self._grams is None:
            return {}
        return {"grams": {name: matrix.cpu() for name, matrix in self._grams.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's matrices."""
        self._grams = state_dict["grams"]


@torch.no_grad()
def _grams(network: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Return the matrix of the last hidden features (key ``""``) and of each block."""
    last = gram(last_features(network, inputs))
    blocks = block_outputs(network, inputs)
    return {"": last, **{name: gram(features) for name, features in blocks.items()}}
