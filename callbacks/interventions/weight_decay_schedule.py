"""Weight decay over time."""

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Level
from lightning_modules.build_optimizer import build_optimizer, build_optimizers
from plasticity_lab.errors import UserError


class WeightDecaySchedule(Level):
    """Weight decay as a function of time (Golatkar et al. 2019, https://arxiv.org/abs/1905.13277).

    Changes: `weight_decay` of the parameter groups that decay: those to which the optimizer gives
    some, or all where it gives none to any. A group that was given 0 beside others that decay
    (biases and norms, say) keeps it. Keeps: parameters, normalisation statistics, optimizer state,
    learning-rate clock.

    Args:
        levels: `{moment: weight decay}`; removed at 100 is `{100ep: 0.0}`. Before the first moment
            it is the optimizer's.

    Raises:
        UserError: below 0, or for an optimizer without weight decay, or with groups of different
            ones.

    Example:
        ```yaml
        class_path: callbacks.WeightDecaySchedule
        init_args: {levels: {100ep: 0.0}}
        ```
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if negative := [value for _, value in self.levels.entries if not value >= 0]:
            raise UserError("levels", value=negative[0], problem="a weight decay is 0 or more")

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse an optimizer without weight decay, or with several."""
        optimizer = build_optimizer(module).optimizer
        if optimizer is not None and "weight_decay" not in optimizer.defaults:
            raise UserError(
                "WeightDecaySchedule",
                problem=f"{type(optimizer).__name__} has no weight decay",
                fix="choose another optimizer",
            )
        decays = sorted({decay for decay in self._configured(module) if decay})
        if len(decays) > 1:
            raise UserError(
                "WeightDecaySchedule",
                problem=f"sets one value, but parameter groups have {decays}",
                fix="give them one, or 0",
            )

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Write it into the groups that decay."""
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        configured = self._configured(module)
        for group, decay in zip(groups, configured, strict=True):
            if decay or not any(configured):
                group["weight_decay"] = value

    @staticmethod
    def _configured(module: LightningModule) -> list[float]:
        """Return the weight decay that the module configures for each parameter group."""
        optimizers, _ = build_optimizers(module)
        return [
            group.get("weight_decay", 0.0)
            for optimizer in optimizers
            for group in optimizer.param_groups
        ]
