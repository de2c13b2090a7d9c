"""Part of the weights drawn again."""

from typing import Literal

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_can_redraw
from callbacks.network import unwrap
from lightning_modules.networks import AuxiliaryHeadsNetwork, InjectableNetwork, TwoPathNetwork
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import last_layer
from plasticity_lab.randomness import generator
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state
from plasticity_lab.surgery.partial_reset import (
    largest_mask,
    leading_mask,
    partial_reset,
    random_mask,
)
from plasticity_lab.surgery.weight_matrices import linear_layers
from plasticity_lab.timing import Time

Kept = Literal["random", "random each time", "leading", "largest"]

_SEVERAL = (AuxiliaryHeadsNetwork, InjectableNetwork, TwoPathNetwork)
"""Networks of which several layers read the input, or give the output."""


class PartialReset(OneShot):
    """Draws part of all weights again: w <- m w + (1 - m) fresh draw.

    What is kept, the mask m, tells methods apart: `random`, a subset that is the same each time
    (WELS of Knowledge Evolution, Taha et al. 2021, https://arxiv.org/abs/2103.05152); `random each
    time`; `leading`, the weights between the first units of each layer (KELS, likewise); or
    `largest`, the largest magnitudes of each layer (dense-sparse-dense, Han et al. 2017,
    https://arxiv.org/abs/1607.04381). Whole layers are `LayerReset`'s.

    Changes: parameters: weights of linear and convolutional layers; their optimizer state
    (`optimizer_state: reset`), of kept weights too. Keeps: biases, normalisation layers and their
    statistics, as Taha et al. do; the learning-rate clock.

    Args:
        at: moments.
        kept: what is kept.
        share: how much of a layer is kept, in [0, 1], for `leading` of its units; 1 is the
            identity. Taha et al. keep 0.8 of ResNet-18.
        optimizer_state: `reset` of these weights, or `keep`.
        every: in place of `at`, again and again.

    Raises:
        UserError: for a share outside [0, 1], layers that cannot be drawn again, or a network
            without a linear or convolutional layer; for `leading`, also with several first or last
            layers.

    Example:
        ```yaml
        class_path: callbacks.PartialReset
        init_args: {every: 20%, kept: random, share: 0.8}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        kept: Kept = "random",
        share: float = 0.8,
        optimizer_state: Literal["reset", "keep"] = "reset",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if not 0 <= share <= 1:
            raise UserError("share", value=share, fix="set a share in [0, 1]")
        self.kept = kept
        self.share = share
        self.optimizer_state = optimizer_state

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that cannot be drawn again, and networks without matrices."""
        layers = self._layers(module)
        if not layers:
            problem = "the network has no linear or convolutional layer"
            raise UserError("PartialReset", problem=problem)
        network = unwrap(module)
        if self.kept == "leading" and isinstance(network, _SEVERAL):
            raise UserError(
                "kept",
                value="leading",
                problem=f"{type(network).__name__} has no single first and last layer",
                fix="use kept: random",
            )
        check_can_redraw("PartialReset", trainer, module, layers)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Draw the rest again."""
        network, layers = unwrap(module), self._layers(module)
        weights = {
            name: value
            for name, value in own_parameters(layers).items()
            if name.rpartition(".")[2] == "weight" and value.requires_grad
        }
        masks = {
            name: self._mask(network, list(weights), name, weight, draws)
            for name, weight in weights.items()
        }
        partial_reset(weights, redraw(network, layers, draws.key, holder=module), masks)
        if self.optimizer_state == "reset" and self.share < 1:
            reset_optimizer_state(trainer.optimizers, weights.values())

    def _mask(
        self, network: nn.Module, names: list[str], name: str, weight: Tensor, draws: Draws
    ) -> Tensor:
        if self.kept == "largest":
            return largest_mask(weight, self.share)
        if self.kept == "leading":
            last = name.rpartition(".")[0] == last_layer(network)
            return leading_mask(weight, self.share, first=name == names[0], last=last)
        if self.kept == "random":
            return random_mask(weight, self.share, generator(draws.seed, "PartialReset", name))
        return random_mask(weight, self.share, draws.generator(f"mask of {name}"))

    def _layers(self, module: LightningModule) -> dict[str, nn.Module]:
        return linear_layers(layers_with_state(unwrap(module)))
