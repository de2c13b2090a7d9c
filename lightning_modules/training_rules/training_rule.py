"""What a training rule is, and the one of gradients."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn


class TrainingRule(ABC):
    """What fills `.grad` of a network's parameters, from which an optimizer then makes its step.

    Optimizer, schedule, precision, accumulation, interventions and diagnostics stay as they are.
    Your own: subclass, implement `backward`, name the class in YAML as `rule` of
    `lightning_modules.Supervised`.

    Attributes:
        passes_again: whether `backward` calls `loss_again`.
        seed: the run's seed, set by `Supervised`, for rules that draw.
    """

    passes_again: ClassVar[bool] = False
    seed: int = 0

    @abstractmethod
    def backward(self, network: nn.Module, loss: Tensor, loss_again: Callable[[], Tensor]) -> None:
        """Add the gradients of a batch to `.grad`; whatever else is changed is to be restored.

        Args:
            network: in training mode.
            loss: of the batch, with its graph.
            loss_again: computes it anew at the present weights, with the random draws of the first
                pass; buffers end as the first pass has left them.
        """

    def forward_pass(self, network: nn.Module) -> AbstractContextManager[None]:
        """Return a context for the forward pass of a training batch.

        A rule whose network passes other signals back than gradients prepares the graph in it.
        Forward passes outside it, those of diagnostics too, are the network's own.
        """
        return nullcontext()

    def exact(self) -> AbstractContextManager[None]:
        """Return a context in which backpropagation through the network gives true gradients.

        Diagnostics measure in it. A rule that changes the network for longer than a forward pass
        undoes that there.
        """
        return nullcontext()

    def check(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: B027  # most work in any run
        """Raise UserError for a trainer or a module that the rule cannot work with."""


class Backpropagation(TrainingRule):
    """The gradient of the loss."""

    def backward(self, network: nn.Module, loss: Tensor, loss_again: Callable[[], Tensor]) -> None:
        """Backpropagate."""
        loss.backward()  # type: ignore[no-untyped-call]
