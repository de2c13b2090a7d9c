"""Weights pruned for good."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_parameters_kept
from callbacks.interventions.weight_averages import averages
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.sparsity import prunable_weights
from plasticity_lab.surgery.layer_selection import matching
from plasticity_lab.surgery.masks import (
    hold_masks,
    mask_gradients,
    prune_masks,
    shuffle_masks,
    zero_pruned,
)
from plasticity_lab.timing import Time


class Prune(OneShot):
    """Removes a share of the surviving weights, which are exactly 0 from then on.

    Magnitude pruning: weights of smallest magnitude go (Frankle & Carbin 2019,
    https://arxiv.org/abs/1803.03635). With a `Rewind` behind it at the same moments it is iterative
    magnitude pruning, whose levels are the times between; with `LayerReset` in its place the
    control that draws the surviving weights again; with `ShuffleMasks` between them the control of
    a mask whose entries are permuted. Prune before the others to prune by trained magnitudes.

    Masks hold whatever other interventions do: after each of them pruned weights are 0 again, their
    averages too. Gradients of pruned weights are 0, before clipping, and so is what the optimizer
    holds for them. Several in one run share what survives. A checkpoint with masks is not resumed
    without them. Copies of the network that diagnostics train on are not masked. Of torch's
    attention the output projection is pruned, its other projections are not.

    Changes: parameters: weights of linear and convolutional layers; optimizer state of those that
    are pruned. Keeps: biases, normalisation layers and their statistics, frozen weights, step
    counts, the learning-rate clock.

    Args:
        at: moments.
        share: how many of the weights that survive are removed each time, in [0, 1]; 0 is the
            identity. The paper's is 0.2.
        scope: `global`, smallest magnitudes of all layers together, or `layerwise`, the same share
            of each layer.
        by: `magnitude`, or `random`, drawn anew each time.
        shares: of single layers, by name or pattern, with `scope: layerwise`; the paper's LeNet has
            `{head: 0.1}`.
        exclude: names or patterns of layers that are not pruned, such as `[head]`.
        every: in place of `at`, again and again.

    Raises:
        UserError: for a share outside [0, 1], names that match no layer, a network without linear
            or convolutional layers, or a training rule that moves weights and returns them, as SAM.

    Example:
        ```yaml
        class_path: callbacks.Prune
        init_args: {every: 10ep, share: 0.2, exclude: [head]}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        share: float = 0.2,
        scope: Literal["global", "layerwise"] = "global",
        by: Literal["magnitude", "random"] = "magnitude",
        shares: dict[str, float] | None = None,
        exclude: list[str] | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        for value in (share, *(shares or {}).values()):
            if not 0 <= value <= 1:
                raise UserError("share", value=value, fix="set a share in [0, 1]")
        if shares and scope == "global":
            raise UserError(
                "shares", value=shares, problem="are of layers", fix="set scope: layerwise"
            )
        self.share, self.scope, self.by = share, scope, by
        self.shares, self.exclude = shares or {}, exclude or []
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
        """Refuse what has nothing to prune, and rules that move weights before the step."""
        check_parameters_kept("Prune", trainer)
        if not self._weights(module):
            raise UserError("Prune", problem="the network has no linear or convolutional layer")
        for pattern in self.shares:
            layers = matching(unwrap(module), [pattern])
            if not any(_belongs(name, layers) for name in self._weights(module)):
                raise UserError(
                    "shares", value=pattern, problem="chooses no weights that are pruned"
                )
        rule: Any = getattr(module, "rule", None)
        if getattr(rule, "passes_again", False):
            raise UserError(
                "rule",
                value=type(rule).__name__,
                problem="moves pruned weights away from 0 for its second pass",
                fix="remove Prune, or the rule",
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

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Remove a share of what survives."""
        weights = self._weights(module)
        scores = {name: self._scores(name, weight, draws) for name, weight in weights.items()}
        share = self.share if self.scope == "global" else self._layer_shares(module, weights)
        surviving = self._surviving(trainer, weights)
        self._masks = {**self._masks, **prune_masks(scores, surviving, share)}
        self._note_parameters(module)

    def _surviving(self, trainer: Trainer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what survives this and all other callbacks that prune."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        masks = {name: torch.ones_like(one, dtype=torch.bool) for name, one in weights.items()}
        for callback in callbacks:
            if isinstance(callback, Prune):
                for name in masks.keys() & callback._masks.keys():
                    masks[name] &= callback._masks[name]
        return masks

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

    def _scores(self, name: str, weight: Tensor, draws: Draws) -> Tensor:
        if self.by == "magnitude":
            return weight.detach().abs()
        return torch.rand(weight.shape, generator=draws.generator(name)).to(weight.device)

    def _layer_shares(
        self, module: LightningModule, weights: Mapping[str, Tensor]
    ) -> dict[str, float]:
        shares = dict.fromkeys(weights, self.share)
        for pattern, share in self.shares.items():
            layers = matching(unwrap(module), [pattern])
            shares |= {name: share for name in weights if _belongs(name, layers)}
        return shares

    def _weights(self, module: LightningModule) -> dict[str, nn.Parameter]:
        network = unwrap(module)
        excluded = matching(network, self.exclude)
        return {
            name: weight
            for name, weight in prunable_weights(network).items()
            if weight.requires_grad and not _belongs(name, excluded)
        }


def _belongs(name: str, layers: list[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)
