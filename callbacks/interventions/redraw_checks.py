"""Whether layers can be drawn again in this run."""

from collections.abc import Iterable

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelPruning

from callbacks.network import unwrap
from lightning_modules import Supervised
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import check_redraw


def check_can_redraw(
    who: str, trainer: Trainer, module: LightningModule, layers: Iterable[str]
) -> None:
    """Raise UserError, in the name of `who`, for a layer that cannot be drawn again."""
    check_parameters_kept(who, trainer)
    try:
        check_redraw(unwrap(module), layers, holder=module)
    except UserError as error:
        raise error.within(who) from error


def check_parameters_kept(who: str, trainer: Trainer) -> None:
    """Raise UserError, in the name of `who`, if a callback replaces parameters."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    if any(isinstance(callback, ModelPruning) for callback in callbacks):
        raise UserError(
            who,
            problem="ModelPruning replaces the parameters that it acts on",
            fix="remove one of the two",
        )


def check_initial_values(module: LightningModule, argument: str) -> None:
    """Raise UserError unless the module draws its initial values under the run's seed."""
    if not isinstance(module, Supervised):
        raise UserError(
            argument,
            problem=f"{type(module).__name__} draws its initial values itself",
            fix="use lightning_modules.Supervised, or fresh draws",
        )
    if module.initial_weights.file is not None:
        raise UserError(
            argument,
            problem="training begins from initial_weights, which cannot be drawn again",
            fix="remove one of the two",
        )
