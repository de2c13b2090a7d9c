"""Callbacks that tests add to runs."""

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from datamodules import Augmentation
from tests.runs import digest


class StepLog(Callback):
    """Logs through Lightning's own machinery, by step and by epoch, as users' callbacks do."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        pl_module.log("probe/step", outputs["loss"], on_step=True, on_epoch=False)


class RankRecord(Callback):
    """Lets the ranks' global streams drift apart, and writes what each rank saw and ended in."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.rand(3 * trainer.global_rank + 1)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.seen.append(batch.indices.tolist())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        record = {"seen": self.seen, "state": digest(pl_module.state_dict()), "weights": pl_module.state_dict()}
        torch.save(record, f"rank{trainer.global_rank}.pt")


class Darken(Augmentation):
    """Somebody's own augmentation."""

    def __call__(self, images: torch.Tensor, mean: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return images // torch.randint(1, 3, (len(images), 1, 1, 1), generator=generator, dtype=torch.uint8)


class EpochEnd(ModelCheckpoint):
    """Keeps every epoch's checkpoint, written at the epoch's end."""

    state_key = "EpochEnd"

    def __init__(self) -> None:
        super().__init__(filename="epochend{epoch}", save_on_train_epoch_end=True, save_top_k=-1)


class ValidationEnd(ModelCheckpoint):
    """Keeps every epoch's checkpoint, written at the end of validation (Lightning's default)."""

    state_key = "ValidationEnd"

    def __init__(self) -> None:
        super().__init__(filename="valend{epoch}", save_on_train_epoch_end=False, save_top_k=-1)


class Slowly(Callback):
    """Makes a step take long enough for something to happen in it."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        time.sleep(0.1)
