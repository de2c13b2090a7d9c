"""A learning-rate schedule from its beginning."""

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.optimizer_state import SCHEDULED_KEYS


class LearningRateRestart(OneShot):
    """Sets the schedule's clock back to zero (Pawlak 2025, https://arxiv.org/abs/2510.09687).

    The control that a claim of a critical period needs: without it a network freed late from a
    deficit also learns at a lower rate. Changes: rates and schedule, which begin anew as
    configured. Keeps: parameters, normalisation statistics, optimizer state.

    Args:
        at: moments.
        every: in place of `at`, again and again.

    Raises:
        UserError: if the module has no schedule, or several.

    Example:
        ```yaml
        class_path: callbacks.LearningRateRestart
        init_args: {at: [80ep]}
        ```
    """

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a module without a schedule."""
        if build_optimizer(module).scheduler is None:
            raise UserError(
                "LearningRateRestart",
                problem="needs one optimizer with an lr_scheduler",
                fix="add one, or remove it",
            )

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Copy rates and schedule of a new optimizer."""
        optimizer, scheduler, _ = build_optimizer(module)
        assert optimizer is not None
        for group, new in zip(
            trainer.optimizers[0].param_groups, optimizer.param_groups, strict=True
        ):
            group.update({key: new[key] for key in SCHEDULED_KEYS if key in new})
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(scheduler.state_dict())
