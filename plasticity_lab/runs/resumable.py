"""Which of Lightning's own callbacks a run can be resumed with exactly."""

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
)

from callbacks.diagnostics.base import Diagnostic
from plasticity_lab.errors import UserError

_IN_NO_CONFIG = "what it finds stands in no config, and the run could not be repeated or resumed; find it in a trial, write"

REFUSED: dict[type[Callback], str] = {
    BatchSizeFinder: f"{_IN_NO_CONFIG} it to data.init_args.batch_size, and leave the callback out",
    LearningRateFinder: f"{_IN_NO_CONFIG} it to model.init_args.optimizer.init_args.lr, and leave the callback out",
    StochasticWeightAveraging: "Lightning does not resume it exactly; use pytorch_lightning.callbacks.WeightAveraging",
}
"""What is wrong with a callback, and what to use instead."""


def check_resumable(trainer: Trainer) -> None:
    """Raise UserError for what a run could not be resumed with exactly, or not be measured in."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    precision = trainer.precision
    if precision in ("64-true", "bf16-true", "16-true") and any(
        isinstance(one, Diagnostic) for one in callbacks
    ):
        raise UserError(
            "precision",
            value=precision,
            problem="diagnostics measure in float32",
            fix="leave them out, or use 32-true, bf16-mixed or 16-mixed",
        )
    for one in callbacks:
        for kind, reason in REFUSED.items():
            if isinstance(one, kind):
                raise UserError("trainer.callbacks", value=kind.__name__, problem=reason)
        if isinstance(one, ModelCheckpoint) and one.save_on_exception:
            raise UserError(
                "trainer.callbacks: ModelCheckpoint: save_on_exception",
                value="true",
                problem=(
                    "would replace checkpoints by one from the middle of a step, from which nothing resumes exactly"
                ),
                fix="use OnExceptionCheckpoint, which keeps it apart",
            )
