"""Weights pulled back to where they began."""

from collections.abc import Mapping

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.branch import configured
from callbacks.clock import Clock
from callbacks.interventions.base import Level
from callbacks.interventions.layers import check_draws, check_initial, every_layer, own_parameters
from callbacks.network import network_of
from lightning_modules.initialisation import redraw
from plasticity_lab.errors import UserError

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def pull(parameters: Mapping[str, Tensor], initial: Mapping[str, Tensor], strength: float) -> None:
    """Add to each parameter's gradient, in place, that of `strength / 2 * ||parameter - initial||^2`; 0 is the identity."""
    for name, parameter in parameters.items():
        if strength and parameter.grad is not None:
            parameter.grad.add_(parameter - initial[name], alpha=strength)


class L2Init(Level):
    """Regenerative regularisation: decay towards the initial weights instead of zero (Kumar et al. 2024, https://arxiv.org/abs/2308.11958).

    The penalty is in every step's gradient and in no logged loss; norm layers are left out, as in the paper. Changes: the gradient
    of the parameters. Keeps: normalisation statistics, the learning-rate clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; the paper's are 1e-2 … 1e-5, 0 is the identity.

    Raises:
        UserError: below 0, for layers whose initial values cannot be drawn again, or a fused optimizer under `16-mixed`.
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if negative := [value for _, value in self.levels.entries if not value >= 0]:
            raise UserError("levels", value=negative[0], problem="a strength is 0 or more")
        self._strength = 0.0
        self._initial: dict[str, Tensor] = {}

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers whose initial values cannot be drawn again."""
        check_initial(module, "L2Init")
        optimizer, scaler = configured(module)[0], getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            raise UserError(
                "L2Init", problem="a fused optimizer hides gradients' scale under 16-mixed", fix="use bf16-mixed, or fused: false"
            )
        check_draws("L2Init", trainer, module, self._layers(module))

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Pull by it from now on."""
        self._strength = value
        if not self._initial:
            seed = Clock.of(trainer).initial_seed
            initial = redraw(module, self._layers(module), lambda name: (seed, "init", name))
            self._initial = {name: tensor.to(module.device) for name, tensor in initial.items()}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        with torch.no_grad():
            pull(own_parameters(self._layers(pl_module)), self._initial, self._strength)

    def _layers(self, module: LightningModule) -> dict[str, nn.Module]:
        return {name: layer for name, layer in every_layer(network_of(module)).items() if not isinstance(layer, _NORMS)}
