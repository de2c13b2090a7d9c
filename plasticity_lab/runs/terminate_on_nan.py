"""Stops a run that has diverged."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from plasticity_lab.errors import Diverged


class TerminateOnNaN(Callback):
    """Stops the run at a training loss that is not finite, before a checkpoint of it is written.

    On an accelerator, where looking at a value waits for the device, the check is made every 50
    steps and at each checkpoint.
    """

    def __init__(self) -> None:
        self.first: torch.Tensor | None = None
        self.step = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is None:
            return
        if self.first is None:
            self.first = torch.full((), -1, device=loss.device)
        self.first = torch.where((self.first < 0) & ~torch.isfinite(loss), self.step, self.first)
        if loss.device.type == "cpu" or self.step % 50 == 0:
            self.check()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.check()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check()

    def check(self) -> None:
        """Raise `Diverged` if a loss was not finite."""
        if self.first is not None and (step := int(self.first)) >= 0:
            raise Diverged(
                f"the training loss is not finite at step {step}: lower the learning rate or "
                "look at the data"
            )
