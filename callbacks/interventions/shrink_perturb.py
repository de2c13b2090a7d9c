"""Weights shrunk and perturbed."""

from collections.abc import Mapping
from typing import Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.layers import check_draws, check_initial, copy_buffers, every_layer, own_parameters
from callbacks.interventions.optimizers import forget
from callbacks.network import network_of
from lightning_modules.initialisation import redraw
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


def shrink_perturb(parameters: Mapping[str, Tensor], noise: Mapping[str, Tensor], shrink: float, perturb: float) -> None:
    """Replace each parameter by `shrink * parameter + perturb * noise`, in place (Ash & Adams 2020)."""
    for name, parameter in parameters.items():
        parameter.mul_(shrink)
        if perturb:
            parameter.add_(noise[name].to(parameter), alpha=perturb)


class ShrinkPerturb(OneShot):
    """Shrinks all weights and adds noise (Ash & Adams 2020, https://arxiv.org/abs/1910.08475).

    `shrink: 1, perturb: 0` is the identity, `shrink: 0, perturb: 1` with `norm_statistics: reset` a new network. The released code
    has 0.4 and 0.1, figures of the paper 0.6 and 0.01; its normalisation statistics and optimizer state begin anew.

    Changes: parameters (under weight norm and the like, those that are trained); normalisation
    statistics (`norm_statistics: reset`); optimizer state (`optimizer_state: reset`). Keeps: the
    learning-rate clock.

    Args:
        at: moments; the paper's is every arrival of data, `stages`.
        shrink: factor of the weights, in [0, 1].
        perturb: factor of the noise, 0 or more.
        noise: a `fresh` initialisation (the released code), `gaussian` of standard deviation 1 (the paper's text), or the run's
            own `initial` values.
        scope: `all` parameters, batch norm's included (the released code), or `weights` of more than one dimension only (DASH).
        norm_statistics: `reset` to those of a new layer, or `keep`.
        optimizer_state: `reset`, or `keep`.

    Raises:
        UserError: for factors outside their range, or layers that cannot be drawn again.
    """

    def __init__(
        self,
        at: list[Time],
        shrink: float = 1.0,
        perturb: float = 0.0,
        noise: Literal["fresh", "gaussian", "initial"] = "fresh",
        scope: Literal["all", "weights"] = "all",
        norm_statistics: Literal["reset", "keep"] = "keep",
        optimizer_state: Literal["reset", "keep"] = "keep",
    ) -> None:
        super().__init__(at)
        if not 0 <= shrink <= 1:
            raise UserError("shrink", value=shrink, fix="write a factor in [0, 1]")
        if not perturb >= 0:
            raise UserError("perturb", value=perturb, fix="write 0 or more")
        self.shrink, self.perturb, self.noise, self.scope = shrink, perturb, noise, scope
        self.norm_statistics, self.optimizer_state = norm_statistics, optimizer_state

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that cannot be drawn again."""
        if self.noise == "initial":
            check_initial(module, "noise: initial")
        if self._draws:
            check_draws("ShrinkPerturb", trainer, module, every_layer(network_of(module)))

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Shrink and perturb."""
        layers = every_layer(network_of(module))
        fresh = redraw(module, layers, draws.initial_key if self.noise == "initial" else draws.key) if self._draws else {}
        scope = {name: part for name, part in own_parameters(layers).items() if self.scope == "all" or part.ndim > 1}
        if self.noise == "gaussian":
            noise = {name: torch.randn(part.shape, generator=draws.generator(name)) for name, part in scope.items()}
        else:
            noise = fresh
        shrink_perturb(scope, noise, self.shrink, self.perturb)
        if self.norm_statistics == "reset":
            copy_buffers(layers, fresh, norm_statistics=True, others=self.shrink == 0)
        if self.optimizer_state == "reset":
            forget(trainer.optimizers, scope.values())

    @property
    def _draws(self) -> bool:
        return self.noise != "gaussian" or self.norm_statistics == "reset"
