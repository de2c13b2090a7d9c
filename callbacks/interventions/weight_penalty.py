"""Penalties on weights, added to the gradient of each optimizer step."""

from abc import abstractmethod

from pytorch_lightning import LightningModule, Trainer
from torch.optim import Optimizer

from callbacks.interventions.base import interventions_of
from callbacks.interventions.scaled_gradients import check_gradients_unscaled
from callbacks.interventions.strength import Strength


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
        check_gradients_unscaled(type(self).__name__, trainer, module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if self.strength:
            self.add_gradient(trainer, pl_module, self.strength)
            for intervention in interventions_of(trainer):
                intervention.hold_gradients()
