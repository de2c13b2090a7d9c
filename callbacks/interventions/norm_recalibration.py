"""Batch-norm statistics of the data at hand."""

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging

from callbacks.clock import Clock
from callbacks.interventions.base import Intervention, log
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer
from plasticity_lab.surgery.norm_statistics import batch_norm_layers, update_bn
from plasticity_lab.timing import Every, Position, Time


class NormRecalibration(Intervention):
    """Re-estimates batch-norm statistics before each validation, on the current training data.

    The "dry run" of later code by the authors of Achille et al. 2019: after a switch of the data
    the running averages still describe the data before it. Changes: running means, variances and
    counts. Keeps: parameters, optimizer state, learning-rate clock.

    Args:
        every: how often, in epochs or as a share of `max_epochs`: `1ep` before each validation,
            `2ep` before those of every second epoch, `10%` before ten of them.

    Raises:
        UserError: for another unit, or without batch norm or an `ImageDataModule`.

    Example:
        ```yaml
        class_path: callbacks.NormRecalibration
        init_args: {every: 1ep}
        ```
    """

    def __init__(self, every: Time) -> None:
        self.every = Every(every)
        if self.every.unit not in ("ep", "%"):
            raise UserError(
                "every",
                value=self.every,
                problem="validation comes with an epoch's end",
                fix="set a number of epochs, such as '1ep', or a share, such as '10%'",
            )

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
        epochs, interval = trainer.max_epochs or 0, trainer.check_val_every_n_epoch or 1
        validated = range(interval - 1, max(epochs, 0), interval)
        never = epochs > 0 and not any(self._due(epoch, epochs) for epoch in validated)
        if trainer.limit_val_batches == 0 or never:
            raise UserError(
                "every",
                value=self.every,
                problem="this run never validates then",
                fix="set a shorter time, or remove it",
            )

    def times(self) -> list[Time]:
        """Return the recurrence at whose moments the epochs end in which it acts."""
        return [self.every]

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return whether it acts at the end of the epoch."""
        return self._due(now.epoch, epochs) or None

    def _due(self, epoch: int, epochs: int) -> bool:
        return self.every.crossed(Position(epoch, 0), Position(epoch + 1, 0), epochs)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        clock = Clock.of(trainer)
        due = clock.schedule.active(self, clock.last, clock.now)
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
