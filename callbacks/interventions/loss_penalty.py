"""Penalties that need the batch, added to the loss that training minimises."""

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.interventions.strength import Strength
from lightning_modules import LossTerm, Supervised
from plasticity_lab.errors import UserError


class LossPenalty(Strength, LossTerm):
    """Adds a penalty, times a strength, to the loss of each batch that is backpropagated.

    `train/loss` and metrics stay those of the task. Accumulation, mixed precision, several ranks
    (each with the penalty of its own share of the batch) and rules that pass twice need nothing
    else. Your own: subclass, and return the penalty from `penalty`.

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity, for which nothing is computed.

    Raises:
        UserError: below 0, or for a module that is no `Supervised`.
    """

    @abstractmethod
    def penalty(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor:
        """Return the penalty at strength 1, a scalar; arguments as `LossTerm.term` takes them."""

    def record(self, module: LightningModule) -> AbstractContextManager[None]:
        """Return a context for the forward pass, in which features may be recorded."""
        return nullcontext()

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse modules that do not ask their callbacks for terms of the loss."""
        if not isinstance(module, Supervised):
            raise UserError(
                type(self).__name__,
                problem=f"{type(module).__name__} asks no callback for terms of its loss",
                fix="use lightning_modules.Supervised",
            )

    def recording(self, module: LightningModule) -> AbstractContextManager[None]:
        """Record what the penalty needs, if it has a strength."""
        return self.record(module) if self.strength else nullcontext()

    def term(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor | None:
        """Return strength times penalty, None without a strength."""
        if not self.strength:
            return None
        return self.strength * self.penalty(module, batch, outputs)
