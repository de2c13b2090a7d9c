"""Terms that callbacks add to the loss that training minimises."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, ClassVar, NamedTuple

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor


class LossTerm(ABC):
    """A callback that adds something to the loss that training minimises.

    `Supervised` asks every callback of its trainer that is one, for each batch and for each pass of
    a rule that passes again. What is logged (`train/loss`, metrics) stays that of the task.

    Attributes:
        of_outputs: whether a term depends on the network by the outputs of the forward pass alone.
            A rule whose network passes other signals back than gradients takes no other terms.
    """

    of_outputs: ClassVar[bool] = False

    def recording(self, module: LightningModule) -> AbstractContextManager[None]:
        """Return a context for the forward pass, in which features may be recorded."""
        return nullcontext()

    @abstractmethod
    def term(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor | None:
        """Return what is added to the loss of a batch, a scalar; None for nothing.

        Args:
            module: what is trained.
            batch: (inputs, targets, …).
            outputs: of the forward pass, with their graph.
        """


class Losses(NamedTuple):
    """What a forward pass gives.

    Attributes:
        outputs: of the network.
        task: the loss of the objective.
        minimised: that, and the terms that callbacks add.
    """

    outputs: Tensor
    task: Tensor
    minimised: Tensor


def loss_terms(trainer: Trainer | None) -> list[LossTerm]:
    """Return the callbacks of a trainer that add to the loss, in their order."""
    callbacks: list[Any] = getattr(trainer, "callbacks", [])
    return [callback for callback in callbacks if isinstance(callback, LossTerm)]


def losses_with_terms(
    module: LightningModule,
    batch: Any,
    loss: Callable[[Tensor, Tensor], Tensor],
    terms: Iterable[LossTerm],
    contexts: Iterable[AbstractContextManager[None]],
) -> Losses:
    """Return outputs and losses of a batch.

    Args:
        module: what is trained.
        batch: (inputs, targets, …).
        loss: of the task, from outputs and targets.
        terms: what is added.
        contexts: for the forward pass alone.
    """
    terms = list(terms)
    with ExitStack() as stack:
        for term in terms:
            stack.enter_context(term.recording(module))
        for context in contexts:
            stack.enter_context(context)
        outputs: Tensor = module(batch[0])
    task = minimised = loss(outputs, batch[1])
    for term in terms:
        added = term.term(module, batch, outputs)
        if added is not None:
            minimised = minimised + added
    return Losses(outputs, task, minimised)
