"""Keeps the one checkpoint that a run resumes from."""

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from plasticity_lab.checkpoint_files import LAST, check_plain
from plasticity_lab.runs.exact_resume import restore_accumulation


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt` whenever another checkpoint was written and every callback has acted.

    A `ModelCheckpoint` writes while those after it have yet to act: a run resumed from its file
    would never let them judge that epoch, and the best network kept would differ from the
    uninterrupted run's. So each round of writing ends with this file, and a kill before that
    repeats the round. Stands last, and takes the place of `save_last` of the others.

    Args:
        folder: where the run keeps its checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / LAST
        self.due = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for callback in trainer.checkpoint_callbacks:
            # One that keeps no other file writes its last one at the end of training only.
            if (
                isinstance(callback, ModelCheckpoint)
                and callback.save_top_k != 0
                and callback.dirpath == str(self.file.parent)
            ):
                callback.save_last = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        restore_accumulation(trainer)
        if len(trainer.checkpoint_callbacks) > 1:
            callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
            check_plain({callback.state_key: callback.state_dict() for callback in callbacks})

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.due = True

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if self.due:
            trainer.save_checkpoint(self.file, weights_only=False)
            self.due = False
