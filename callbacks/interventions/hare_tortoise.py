"""Weights returned to their average."""

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.weight_averages import averages
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.return_to_average import return_to_average


class HareTortoise(OneShot):
    """Returns the weights to their running average (Hare & Tortoise, Lee et al. 2024).

    https://arxiv.org/abs/2406.02596

    The tortoise is what Lightning's `EMAWeightAveraging` keeps: list it, too, with `decay: 0.999`
    and `use_buffers: true` as in the paper, where it is updated after each step and validated. The
    hare is what is trained: at each moment it becomes the tortoise.

    Changes: parameters but frozen ones; normalisation statistics, if the average has them
    (`use_buffers`). Keeps: optimizer state, as in the paper, the average itself and the
    learning-rate clock.

    Args:
        at: moments.
        every: in place of `at`, again and again; the paper's is `10ep`.

    Raises:
        UserError: without `WeightAveraging`, or with several.

    Example:
        ```yaml
        class_path: callbacks.HareTortoise
        init_args: {every: 10ep}
        ```
    """

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a run without an average."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        count = sum(isinstance(callback, WeightAveraging) for callback in callbacks)
        if count != 1:
            raise UserError(
                "HareTortoise",
                problem=f"needs one average of the weights, and there are {count}",
                fix="add one pytorch_lightning.callbacks.EMAWeightAveraging",
            )

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Return to the average."""
        (average,) = averages(trainer)
        return_to_average(unwrap(module), unwrap(average))
