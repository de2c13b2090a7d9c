"""The weights of a file that training begins from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.filter_pruning import FilterScore, narrow_weights
from plasticity_lab.surgery.initial_weights import (
    check_weights,
    load_weights,
    read_weights,
    weights_hash,
)

_KEY = "initial_weights"
"""Entry of a checkpoint: hash of the weights of a file that training began from."""


class InitialWeights:
    """What a network's training begins from, which checkpoints know by its content.

    Args:
        file: a checkpoint or a `state_dict`; None begins from the network's own initial values.
        excepted: layers that begin from their own initial values nevertheless.
        filters: which filters of a wider network begin in a narrower one, as `narrow_weights`; None
            takes weights of the same network alone.

    Raises:
        UserError: for such layers, or filters, without a file.
    """

    def __init__(
        self, file: str | None, excepted: list[str] | None, filters: FilterScore | None = None
    ) -> None:
        self.file = file
        self.filters: FilterScore | None = filters
        self.excepted = excepted or []
        if self.excepted and file is None:
            raise UserError(
                "initial_weights_except",
                value=self.excepted,
                problem="there are no weights to begin from",
                fix="set initial_weights: FILE, or remove it",
            )
        if filters and file is None:
            raise UserError(
                "initial_weights_filters",
                value=filters,
                problem="there are no weights to begin from",
                fix="set initial_weights: FILE, or remove it",
            )
        # Hash of the weights that training began from: "" is its own, None is not begun.
        self._began_from: str | None = None

    def begin(self, network: nn.Module, data: Any) -> bool:
        """Load the weights, unless there are none, or training resumes or has begun.

        Args:
            network: what is trained.
            data: the run's data module, whose shapes tell which filters feed which.

        Returns:
            Whether they were loaded.
        """
        if not self.file or self._began_from is not None:
            return False
        weights = self._read(network, data)
        load_weights(network, weights, self.excepted)
        self._began_from = self._identity_of(weights)
        return True

    def check(self, network: nn.Module, data: Any, checkpoint: Mapping[str, Any] | None) -> None:
        """Raise UserError for weights that training cannot begin from, or has not begun from.

        Args:
            network: what is trained.
            data: the run's data module.
            checkpoint: what the run starts from; None for a new run.
        """
        began_from = (checkpoint or {}).get(_KEY)
        if self.file is None and began_from is None:
            return
        if self.file is None:
            problem = "the checkpoint's training began from the weights of a file"
            raise UserError("initial_weights", value="null", problem=problem, fix="keep it")
        exists = Path(self.file).is_file()
        if checkpoint is None:
            self._read(network, data)
        elif began_from is None or (
            exists and self._identity_of(self._read(network, data)) != began_from
        ):
            raise UserError(
                "initial_weights",
                value=self.file,
                problem="the checkpoint's training did not begin from these weights",
                fix="start a new run, or name the checkpoint as initial_weights in place of it",
            )

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Add what training began from to a checkpoint, if that was a file."""
        if self._began_from:
            checkpoint[_KEY] = self._began_from

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Know what the training of a checkpoint began from."""
        self._began_from = checkpoint.get(_KEY, "")

    def _read(self, network: nn.Module, data: Any) -> dict[str, Tensor]:
        """Read the weights.

        Raises:
            UserError: for a file that cannot be read, or weights of another network.
        """
        path = Path(self.file or "")
        weights = read_weights(path)
        if self.filters:
            weights = narrow_weights(network, _example(network, data), weights, self.filters)
        check_weights(network, weights, self.excepted, path)
        return weights

    def _identity_of(self, weights: Mapping[str, Tensor]) -> str:
        """Return what tells training that begins from weights from other training."""
        kept = sorted(self.excepted)
        return weights_hash(weights) + (f" but for {', '.join(kept)}" if kept else "")


def _example(network: nn.Module, data: Any) -> Tensor:
    """Return an input of zeros, (1, …)."""
    splits = getattr(data, "splits", None)
    if splits is None:
        raise UserError(
            "initial_weights_filters",
            problem=f"{type(data).__name__} does not say what its inputs are",
            fix="use ImageDataModule, or weights of the same network",
        )
    parameter = next(network.parameters())
    return torch.zeros(1, *splits.train.shape, dtype=parameter.dtype, device=parameter.device)
