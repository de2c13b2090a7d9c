"""What callbacks do within the forward passes of training."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from pytorch_lightning import LightningModule, Trainer


class PassContext(ABC):
    """A callback that changes the forward passes of training, and no others.

    `Supervised` enters the context of every callback of its trainer that is one, for each batch and
    for each pass of a rule that passes again. Terms of the loss that call the network themselves do
    so outside it, as validation and diagnostics do.
    """

    @abstractmethod
    def forward_pass(self, module: LightningModule) -> AbstractContextManager[None]:
        """Return a context for the forward pass of a batch."""


def pass_contexts(
    trainer: Trainer | None, module: LightningModule
) -> list[AbstractContextManager[None]]:
    """Return the contexts of the callbacks of a trainer, in their order."""
    callbacks = getattr(trainer, "callbacks", [])
    return [one.forward_pass(module) for one in callbacks if isinstance(one, PassContext)]
