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

_IN_NO_CONFIG = (
    "what it finds stands in no config, and the run could not be repeated or resumed; find it in "
    "a trial run, set it in {}, and remove the callback"
)

REFUSED: dict[type[Callback], str] = {
    BatchSizeFinder: _IN_NO_CONFIG.format("data.init_args.batch_size"),
    LearningRateFinder: _IN_NO_CONFIG.format("model.init_args.optimizer.init_args.lr"),
    StochasticWeightAveraging: (
        "Lightning does not resume it exactly; use pytorch_lightning.callbacks.WeightAveraging"
    ),
}
"""What is wrong with a callback, and what to use instead."""


def check_resumable(trainer: Trainer) -> None:
    """Raise UserError for what a run could not be resumed with exactly, or not be measured in."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    precision = trainer.precision
    measures = any(isinstance(callback, Diagnostic) for callback in callbacks)
    if measures and precision in ("64-true", "bf16-true", "16-true"):
        raise UserError(
            "precision",
            value=precision,
            problem="diagnostics measure in float32",
            fix="remove them, or use 32-true, bf16-mixed or 16-mixed",
        )
    for callback in callbacks:
        for kind, reason in REFUSED.items():
            if isinstance(callback, kind):
                raise UserError("trainer.callbacks", value=kind.__name__, problem=reason)
        if isinstance(callback, ModelCheckpoint) and callback.save_on_exception:
            raise UserError(
                "trainer.callbacks: ModelCheckpoint: save_on_exception",
                value="true",
                problem=(
                    "would replace checkpoints by one from the middle of a step, from which "
                    "nothing resumes exactly"
                ),
                fix="use OnExceptionCheckpoint, which keeps it apart",
            )
