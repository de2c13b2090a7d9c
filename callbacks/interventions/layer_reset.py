"""Layers drawn again."""

from collections.abc import Mapping
from typing import Literal

from pytorch_lightning import LightningModule, Trainer
from torch import nn

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.layers import check_initial, choose, copy_buffers, redrawn
from callbacks.interventions.optimizers import forget
from callbacks.network import network_of
from timing import Time


def reset_layers(layers: Mapping[str, nn.Module], fresh: Mapping[str, nn.Module], norm_statistics: bool) -> None:
    """Copy the parameters of fresh layers into layers, in place, and if asked their buffers (normalisation statistics)."""
    for name, layer in layers.items():
        for mine, new in zip(layer.parameters(recurse=False), fresh[name].parameters(recurse=False), strict=True):
            mine.copy_(new)
        if norm_statistics:
            copy_buffers(layer, fresh[name])


class LayerReset(OneShot):
    """Draws the chosen layers again from their own initial distribution.

    Berariu et al. 2021, A.5, https://arxiv.org/abs/2106.00042 (`last: 4` of a ResNet's six blocks); later-layer forgetting (Zhou et
    al. 2022), RIFLE (Li et al. 2020) and Nikishin et al. 2022 are choices of layers and times.

    Changes: the layers' parameters; their normalisation statistics (`norm_statistics: reset`); what the optimizer remembers of them
    (`optimizer_state: reset`). Keeps: all other layers and what is remembered of them; the learning-rate clock.

    Args:
        at: moments.
        last: so many blocks from the top of the network, …
        layers: … or names and patterns of layers, as `layer4*`.
        to: a `fresh` draw at each moment, or the run's own `initial` values.
        norm_statistics: `reset` to those of a new layer, or `keep`.
        optimizer_state: `reset` for these parameters, or `keep`.

    Raises:
        UserError: if no layer or one that cannot draw its own values is chosen.
    """

    def __init__(
        self,
        at: list[Time],
        last: int | None = None,
        layers: list[str] | None = None,
        to: Literal["fresh", "initial"] = "fresh",
        norm_statistics: Literal["reset", "keep"] = "reset",
        optimizer_state: Literal["reset", "keep"] = "reset",
    ) -> None:
        super().__init__(at)
        self.last, self.layers, self.to = last, layers, to
        self.norm_statistics, self.optimizer_state = norm_statistics, optimizer_state

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that there are not."""
        if self.to == "initial":
            check_initial(module, "to: initial")
        choose(network_of(module), self.last, self.layers)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Reset the layers."""
        chosen = choose(network_of(module), self.last, self.layers)
        keys = {name: draws.key(name) if self.to == "fresh" else draws.initial_key(name) for name in chosen}
        reset_layers(chosen, {name: redrawn(chosen[name], *keys[name]) for name in chosen}, self.norm_statistics == "reset")
        if self.optimizer_state == "reset":
            forget(trainer.optimizers, [parameter for layer in chosen.values() for parameter in layer.parameters()])
