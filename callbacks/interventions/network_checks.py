"""Whether a network allows what a term of the loss needs of it."""

from collections.abc import Callable
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from callbacks.diagnostics.look import Look
from callbacks.diagnostics.run_look import blank_look
from callbacks.network import unwrap
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.preserve_state import preserve_state


def check_not_compiled(who: str, module: LightningModule, problem: str) -> None:
    """Raise UserError, in the name of `who`, for a network that is compiled."""
    if unwrap(module)._compiled_call_impl is not None:
        raise UserError(who, problem=problem, fix="set compile: false")


def check_on_blank_examples(
    who: str, trainer: Trainer, module: LightningModule, check: Callable[[Look], None]
) -> None:
    """Raise UserError, in the name of `who`, for what a check refuses on two blank examples.

    Data that are not ours have no examples before training, so that nothing is checked.
    """
    if not isinstance(getattr(trainer, "datamodule", None), ImageDataModule):
        return
    look: Any = blank_look(trainer, module)
    with preserve_state(look.network):
        try:
            check(look)
        except UserError as error:
            raise error.within(who) from error
