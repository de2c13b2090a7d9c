"""Batch-norm statistics of the data at hand."""

import math

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging

from callbacks.clock import Clock
from callbacks.interventions.base import log
from datamodules import ImageDataModule
from datamodules.naming import Named
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.norm_statistics import batch_norm_layers, update_bn
from plasticity_lab.timing import Epoch, Time


class NormRecalibration(Named, Callback):
    """Re-estimates batch-norm statistics before each validation, on the current training data.

    The "dry run" of later code by the authors of Achille et al. 2019: after a switch of the data
    the running averages still describe the data before it. Changes: running means, variances and
    counts. Keeps: parameters, optimizer state, learning-rate clock.

    Args:
        every: how often, in epochs: `1ep` before each validation, `2ep` before those of every
            second epoch.

    Raises:
        UserError: for another unit, or without batch norm or an `ImageDataModule`.

    Example:
        ```yaml
        class_path: callbacks.NormRecalibration
        init_args: {every: 1ep}
        ```
    """

    def __init__(self, every: Time) -> None:
        every = Time(every)
        if every.unit != "ep" or not every.number:
            raise UserError("every", value=every, fix="set a number of epochs, such as '1ep'")
        self.every = every

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse what has no statistics."""
        if not isinstance(getattr(trainer, "datamodule", None), ImageDataModule):
            raise UserError("NormRecalibration", problem="needs datamodules.ImageDataModule")
        if not batch_norm_layers(module):
            raise UserError(
                "NormRecalibration", problem="the network has no batch norm", fix="remove it"
            )
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        if any(isinstance(callback, WeightAveraging) for callback in callbacks):
            raise UserError(
                "NormRecalibration",
                problem=(
                    "cannot be combined with WeightAveraging: validation uses the averaged "
                    "network, whose statistics it does not update"
                ),
                fix="remove one of them",
            )
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper of Trainer
            return
        first_epoch = math.lcm(int(self.every.number), trainer.check_val_every_n_epoch or 1)
        if trainer.limit_val_batches == 0 or 0 < (trainer.max_epochs or 0) < first_epoch:
            raise UserError(
                "every",
                value=self.every,
                problem="this run never validates then",
                fix="set fewer epochs, or remove it",
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            Clock.add_to(trainer, pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that `plasticity_lab` has built was checked before.
        if Clock.of(trainer).added:
            self.check(trainer, pl_module)

    def in_force(self, epoch: Epoch) -> str | None:
        """Return what it does in an epoch, None if nothing; studies share epochs by it."""
        return None if (epoch.now.epoch + 1) % int(self.every.number) else repr(self)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = (trainer.current_epoch + 1) % int(self.every.number) == 0
        if trainer.state.fn != "fit" or trainer.sanity_checking or not due:
            return
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        with trainer.precision_plugin.forward_context():
            update_bn(pl_module, (batch.inputs for batch in data.training_pass()))
            if trainer.world_size > 1:
                for name, buffer in pl_module.named_buffers():
                    if "running_" in name:
                        buffer.copy_(pl_module.all_gather(buffer).mean(0))  # type: ignore[union-attr]
        # At the step of the validation that follows it.
        log(trainer, type(self).__name__, 1, trainer.global_step - 1)
