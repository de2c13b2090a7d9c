"""Layers drawn again."""

from typing import Literal

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.layers import check_draws, check_initial, choose, copy_buffers, own_parameters
from callbacks.interventions.optimizers import forget
from callbacks.network import network_of
from lightning_modules.initialisation import redraw
from plasticity_lab.timing import Time


class LayerReset(OneShot):
    """Draws the chosen layers again by the rule that drew them first: torch's, or what the network's constructor sets.

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
        UserError: if no layer or one that cannot be drawn again is chosen.
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
        """Refuse layers that there are not, or that cannot be drawn again."""
        if self.to == "initial":
            check_initial(module, "to: initial")
        check_draws("LayerReset", trainer, module, choose(network_of(module), self.last, self.layers))

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Reset the layers."""
        chosen = choose(network_of(module), self.last, self.layers)
        fresh = redraw(module, chosen, draws.key if self.to == "fresh" else draws.initial_key)
        for name, parameter in own_parameters(chosen).items():
            parameter.copy_(fresh[name])
        copy_buffers(chosen, fresh, norm_statistics=self.norm_statistics == "reset", others=True)
        if self.optimizer_state == "reset":
            forget(trainer.optimizers, [parameter for layer in chosen.values() for parameter in layer.parameters()])
