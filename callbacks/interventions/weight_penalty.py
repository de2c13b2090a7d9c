"""Penalties on weights, added to the gradient of each optimizer step."""

from abc import abstractmethod

from pytorch_lightning import LightningModule, Trainer
from torch.optim import Optimizer

from callbacks.interventions.strength import Strength
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError


class WeightPenalty(Strength):
    """Adds the gradient of a penalty on weights, times a strength, once an optimizer step.

    It is in no logged loss. It works in any module and under accumulation; gradients are unscaled
    by then, and clipped afterwards. Your own: subclass, and call
    `plasticity_lab.surgery.add_penalty_gradient` in `add_gradient`.

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity.

    Raises:
        UserError: below 0, or for a fused optimizer under `16-mixed`.
    """

    @abstractmethod
    def add_gradient(self, trainer: Trainer, module: LightningModule, strength: float) -> None:
        """Add its gradient to `.grad` of the parameters.

        Args:
            trainer: the run's.
            module: what is trained.
            strength: above 0.
        """

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse gradients that are still scaled when it sees them."""
        optimizer = build_optimizer(module).optimizer
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            raise UserError(
                type(self).__name__,
                problem="a fused optimizer hides gradients' scale under 16-mixed",
                fix="use bf16-mixed, or fused: false",
            )

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if self.strength:
            self.add_gradient(trainer, pl_module, self.strength)
