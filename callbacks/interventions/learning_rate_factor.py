"""A learning rate multiplied for a while."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch.optim import Optimizer

from callbacks.interventions.base import Level
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer


class LearningRateFactor(Level):
    """Multiplies the scheduled learning rate.

    Berariu et al. 2021, Fig. 7, https://arxiv.org/abs/2106.00042, with 10 in the tuning stage.

    The factor is in the groups only while the optimizer steps, so that a schedule which computes
    its next rate from the present one never sees it. Changes: the rate of every step. Keeps:
    parameters, normalisation statistics, optimizer state, the schedule with its clock, and the rate
    that loggers show.

    Args:
        levels: `{moment: factor}`; 1 is the identity.

    Raises:
        UserError: for a factor below 0.

    Example:
        ```yaml
        class_path: callbacks.LearningRateFactor
        init_args: {levels: {0ep: 1, stage1: 10}}
        ```
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if negative := [value for _, value in self.levels.entries if not value >= 0]:
            raise UserError("levels", value=negative[0], problem="a factor is 0 or more")
        self._factor = 1.0
        self._scheduled: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._factor = 1.0
        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(self._multiply)
            optimizer.register_step_post_hook(self._restore)

    def learning_rate_factor(self, answer: Answer) -> float:
        """Return what a step is multiplied by where this is the answer."""
        return float(answer) if isinstance(answer, int | float) else 1.0

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Multiply by it from now on."""
        self._factor = value

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        # It failed inside a step.
        if self._scheduled:
            self._restore(trainer.optimizers[0])

    def _multiply(self, optimizer: Optimizer, *_: Any) -> None:
        self._scheduled = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * self._factor

    def _restore(self, optimizer: Optimizer, *_: Any) -> None:
        for group, rate in zip(optimizer.param_groups, self._scheduled, strict=True):
            group["lr"] = rate
        self._scheduled = []
