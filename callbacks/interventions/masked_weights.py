"""Weights that are exactly 0 from a moment on."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.interventions.base import Draws, OneShot, interventions_of
from callbacks.interventions.redraw_checks import check_parameters_kept
from callbacks.interventions.weight_averages import averages
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.masks import (
    Masks,
    hold_masks,
    mask_gradients,
    shuffle_masks,
    zero_pruned,
)
from plasticity_lab.timing import Time


class MaskedWeights(OneShot):
    """Prunes weights at its moments; `apply` chooses which, and gives their masks to `prune`.

    Masks hold whatever other interventions do: after each of them pruned weights are 0 again, their
    averages too. Gradients of pruned weights are 0, before clipping, and so is what the optimizer
    holds for them. Several in one run share what survives. A checkpoint with masks is not resumed
    without them. Copies of the network that diagnostics train on are not masked.

    Args:
        at: moments.
        every: in place of `at`, again and again.
    """

    def __init__(self, at: list[Time] | None = None, every: Time | None = None) -> None:
        super().__init__(at, every)
        self._masks: dict[str, Tensor] = {}
        # The same masks by parameter, as the hooks of optimizers read them.
        self._held: dict[nn.Parameter, Tensor] = {}
        self._releases: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Forget the masks."""
        self._masks = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the masks, which hold for the rest of the run."""
        masks = {name: mask.cpu() for name, mask in self._masks.items()}
        return {"masks": masks, "still_acts": bool(masks)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the masks of a checkpoint."""
        self._masks = dict(state_dict["masks"])

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse parameters that are replaced, and rules that move weights before the step."""
        name = type(self).__name__
        check_parameters_kept(name, trainer)
        rule: Any = getattr(module, "rule", None)
        if getattr(rule, "passes_again", False):
            raise UserError(
                "rule",
                value=type(rule).__name__,
                problem="moves pruned weights away from 0 for its second pass",
                fix=f"remove {name}, or the rule",
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note_parameters(pl_module)
        self._releases = [hold_masks(optimizer, self._held) for optimizer in trainer.optimizers]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for release in self._releases:
            release()
        self._releases = []

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.on_train_end(trainer, pl_module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        self.hold_gradients()

    def surviving(self, trainer: Trainer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what survives this and all other callbacks that prune, by the weights' names."""
        masks = {name: torch.ones_like(one, dtype=torch.bool) for name, one in weights.items()}
        for other in interventions_of(trainer):
            if isinstance(other, MaskedWeights):
                for name in masks.keys() & other._masks.keys():
                    masks[name] &= other._masks[name]
        return masks

    def prune(self, module: LightningModule, masks: Masks) -> None:
        """Let masks hold from now on, besides those it had for the same weights."""
        both = {name: mask & self._masks.get(name, mask) for name, mask in masks.items()}
        self._masks = {**self._masks, **both}
        self._note_parameters(module)

    def shuffle(self, module: LightningModule, draws: Draws) -> bool:
        """Permute the entries of each mask; return whether there are any."""
        self._masks = shuffle_masks(self._masks, draws.generator)
        self._note_parameters(module)
        return bool(self._masks)

    def hold(self, trainer: Trainer, module: LightningModule) -> None:
        """Set pruned weights, their averages, and what the optimizer holds for them, to 0."""
        zero_pruned(trainer.optimizers, self._held)
        for average in averages(trainer):
            averaged = dict(unwrap(average).named_parameters())
            zero_pruned([], {averaged[name]: mask for name, mask in self._masks.items()})

    def hold_gradients(self) -> None:
        """Set the gradients of pruned weights to 0."""
        mask_gradients(self._held)

    def _note_parameters(self, module: LightningModule) -> None:
        # Frozen ones too, of which some may have been trained when they were pruned.
        weights = dict(unwrap(module).named_parameters())
        self._masks = {name: mask.to(module.device) for name, mask in self._masks.items()}
        self._held.clear()
        self._held.update({weights[name]: mask for name, mask in self._masks.items()})
