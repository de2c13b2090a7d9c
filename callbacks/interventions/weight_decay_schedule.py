"""Weight decay over time."""

from pytorch_lightning import LightningModule, Trainer

from callbacks.branch import configured
from callbacks.interventions.base import Level
from errors import UserError


class WeightDecaySchedule(Level):
    """Weight decay as a function of time (Golatkar et al. 2019, https://arxiv.org/abs/1905.13277).

    Changes: `weight_decay` of every parameter group. Keeps: parameters, normalisation statistics, optimizer
    state, learning-rate clock.

    Args:
        levels: `{moment: weight decay}`; removed at 100 is `{100ep: 0.0}`. Before the first moment it is the optimizer's.

    Raises:
        UserError: below 0, or for an optimizer without weight decay.
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if negative := [value for _, value in self.levels.entries if not value >= 0]:
            raise UserError(f"levels: {negative[0]}: a weight decay is 0 or more")

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse an optimizer without weight decay."""
        optimizer, _ = configured(module)
        if optimizer is not None and "weight_decay" not in optimizer.defaults:
            raise UserError(f"WeightDecaySchedule: {type(optimizer).__name__} has no weight decay; choose another optimizer")

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Write it into the groups."""
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["weight_decay"] = value
