"""Weights shrunk and perturbed."""

from typing import Literal

import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.layer_selection import copy_buffers, layers_with_state, own_parameters
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state
from plasticity_lab.surgery.shrink_perturb import shrink_perturb
from plasticity_lab.surgery.weight_matrices import linear_layers
from plasticity_lab.timing import Time


class ShrinkPerturb(OneShot):
    """Shrinks all weights and adds noise (Ash & Adams 2020, https://arxiv.org/abs/1910.08475).

    `shrink: 1, perturb: 0` is the identity, `shrink: 0, perturb: 1` with `norm_statistics: reset` a
    new network. The released code has 0.4 and 0.1, figures of the paper 0.6 and 0.01; its
    normalisation statistics and optimizer state begin anew.

    Changes: parameters (under weight norm and the like, those that are trained); normalisation
    statistics (`norm_statistics: reset`); optimizer state (`optimizer_state: reset`). Keeps: the
    learning-rate clock.

    Args:
        at: moments; the paper's is every arrival of data, `stages`.
        shrink: factor of the weights, in [0, 1].
        perturb: factor of the noise, 0 or more.
        noise: a `fresh` initialisation (the released code), `gaussian` of standard deviation 1 (the
            paper's text), or the run's own `initial` values.
        scope: `all` parameters, batch norm's included (the released code), or those of `linear` and
            convolutional layers alone, biases included. Shin et al. 2024 (DASH) compare with
            `shrink: 0.3, perturb: 0.01, noise: gaussian, scope: linear`.
        norm_statistics: `reset` to those of a new layer, or `keep`.
        optimizer_state: `reset`, or `keep`.
        every: in place of `at`, again and again.

    Raises:
        UserError: for factors outside their range, or layers that cannot be drawn again.

    Example:
        ```yaml
        class_path: callbacks.ShrinkPerturb
        init_args: {at: [stages], shrink: 0.4, perturb: 0.1, norm_statistics: reset}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        shrink: float = 1.0,
        perturb: float = 0.0,
        noise: Literal["fresh", "gaussian", "initial"] = "fresh",
        scope: Literal["all", "linear"] = "all",
        norm_statistics: Literal["reset", "keep"] = "keep",
        optimizer_state: Literal["reset", "keep"] = "keep",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if not 0 <= shrink <= 1:
            raise UserError("shrink", value=shrink, fix="set a factor in [0, 1]")
        if not perturb >= 0:
            raise UserError("perturb", value=perturb, fix="set 0 or more")
        self.shrink = shrink
        self.perturb = perturb
        self.noise = noise
        self.scope = scope
        self.norm_statistics = norm_statistics
        self.optimizer_state = optimizer_state

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that cannot be drawn again, or have no weight of their own."""
        if self.scope == "linear":
            linear_layers(layers_with_state(unwrap(module)))
        if self.noise == "initial":
            check_initial_values(module, "noise: initial")
        if self._draws:
            check_can_redraw("ShrinkPerturb", trainer, module, layers_with_state(unwrap(module)))

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Shrink and perturb."""
        network = unwrap(module)
        layers = layers_with_state(network)
        fresh = {}
        if self._draws:
            key = draws.initial_key if self.noise == "initial" else draws.key
            fresh = redraw(network, layers, key, holder=module)
        taken = layers if self.scope == "all" else linear_layers(layers)
        scope = {name: part for name, part in own_parameters(taken).items() if part.requires_grad}
        if self.noise == "gaussian":
            noise = {
                name: torch.randn(part.shape, generator=draws.generator(name))
                for name, part in scope.items()
            }
        else:
            noise = fresh
        shrink_perturb(scope, noise, self.shrink, self.perturb)
        if self.norm_statistics == "reset":
            copy_buffers(layers, fresh, norm_statistics=True, other_buffers=self.shrink == 0)
        if self.optimizer_state == "reset":
            reset_optimizer_state(trainer.optimizers, scope.values())

    @property
    def _draws(self) -> bool:
        return self.noise != "gaussian" or self.norm_statistics == "reset"
