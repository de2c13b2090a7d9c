"""Weights pruned for good."""

from collections.abc import Mapping
from typing import Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.interventions.base import Draws
from callbacks.interventions.masked_weights import MaskedWeights
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.sparsity import prunable_weights
from plasticity_lab.surgery.layer_selection import matching
from plasticity_lab.surgery.masks import prune_masks
from plasticity_lab.timing import Time


class Prune(MaskedWeights):
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

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse what has nothing to prune, and rules that move weights before the step."""
        super().check(trainer, module)
        if not self._weights(module):
            raise UserError("Prune", problem="the network has no linear or convolutional layer")
        for pattern in self.shares:
            layers = matching(unwrap(module), [pattern])
            if not any(_belongs(name, layers) for name in self._weights(module)):
                raise UserError(
                    "shares", value=pattern, problem="chooses no weights that are pruned"
                )

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Remove a share of what survives."""
        weights = self._weights(module)
        scores = {name: self._scores(name, weight, draws) for name, weight in weights.items()}
        share = self.share if self.scope == "global" else self._layer_shares(module, weights)
        surviving = self.surviving(trainer, weights)
        self.prune(module, prune_masks(scores, surviving, share))

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
        try:
            excluded = matching(network, self.exclude)
        except UserError as error:
            raise UserError("exclude", error.value, error.problem, error.fix) from None
        return {
            name: weight
            for name, weight in prunable_weights(network).items()
            if weight.requires_grad and not _belongs(name, excluded)
        }


def _belongs(name: str, layers: list[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)
