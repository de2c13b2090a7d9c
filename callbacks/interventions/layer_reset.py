"""Layers drawn again."""

from typing import Literal

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from plasticity_lab.surgery.layer_reset import reset_layers
from plasticity_lab.surgery.layer_selection import select_layers
from plasticity_lab.timing import Time


class LayerReset(OneShot):
    """Re-initialises layers by the rule that drew them first.

    That is torch's rule, or what the network's constructor sets.

    Berariu et al. 2021, A.5, https://arxiv.org/abs/2106.00042 (`last: 4` of a ResNet's six blocks);
    later-layer forgetting (Zhou et al. 2022), RIFLE (Li et al. 2020) and Nikishin et al. 2022 are
    choices of layers and times.

    Changes: the layers' parameters, frozen ones too; their normalisation statistics
    (`norm_statistics: reset`); their optimizer state (`optimizer_state: reset`). Keeps: all other
    layers and their optimizer state; the learning-rate clock.

    Args:
        at: moments.
        last: number of blocks, from the top of the network.
        layers: in place of `last`, names and patterns of layers, such as `layer4*`.
        to: a `fresh` draw at each moment, or the run's own `initial` values.
        norm_statistics: `reset` to those of a new layer, or `keep`.
        optimizer_state: `reset` for these parameters, or `keep`.
        every: in place of `at`, again and again.

    Raises:
        UserError: if no layer or one that cannot be drawn again is chosen.

    Example:
        ```yaml
        class_path: callbacks.LayerReset
        init_args: {at: [stages], last: 4}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        last: int | None = None,
        layers: list[str] | None = None,
        to: Literal["fresh", "initial"] = "fresh",
        norm_statistics: Literal["reset", "keep"] = "reset",
        optimizer_state: Literal["reset", "keep"] = "reset",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        self.last = last
        self.layers = layers
        self.to = to
        self.norm_statistics = norm_statistics
        self.optimizer_state = optimizer_state

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that do not exist, or that cannot be drawn again."""
        if self.to == "initial":
            check_initial_values(module, "to: initial")
        check_can_redraw(
            "LayerReset", trainer, module, select_layers(unwrap(module), self.last, self.layers)
        )

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Reset the layers."""
        chosen = select_layers(unwrap(module), self.last, self.layers)
        reset_layers(
            unwrap(module),
            chosen,
            key=draws.key if self.to == "fresh" else draws.initial_key,
            norm_statistics=self.norm_statistics == "reset",
            optimizers=trainer.optimizers if self.optimizer_state == "reset" else [],
            holder=module,
        )
