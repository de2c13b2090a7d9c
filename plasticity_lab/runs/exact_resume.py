"""The parts of an exact resume that Lightning leaves out."""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import (
    GradientAccumulationScheduler,
    ModelCheckpoint,
    WeightAveraging,
)
from pytorch_lightning.loggers import TensorBoardLogger

from plasticity_lab.checkpoint_files import FAILED
from plasticity_lab.randomness import derive_seed


class ExactResume(Callback):
    """Makes a resumed run continue bit for bit, from whichever kind of checkpoint.

    Before each training batch the global random streams (dropout, third-party code) are seeded from
    (seed, epoch, batch, rank), so that no random state needs saving. Before each checkpoint the
    loggers are flushed, so that what was logged before it survives a kill. From a checkpoint
    written after an epoch's last batch but before its end, Lightning would skip that epoch's
    validation and its end, and from one written before a batch is trained it would skip that
    batch; here both are made up for. A checkpoint written because the run has
    failed, in the middle of a step, is marked as such.

    Args:
        seed: the run's seed (`seed_everything`), set by train.py.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.failed = False
        self.trained = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning converts the module after it has loaded the checkpoint, which would round
        # float64 values to float32.
        trainer.precision_plugin.convert_module(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.trained = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Where nothing was left to train, Lightning does not end it, and an average would not take
        # the place of the weights.
        if self.trained:
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        for callback in callbacks:
            if isinstance(callback, WeightAveraging):
                callback.on_train_end(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        seed = derive_seed(
            self.seed, "global", trainer.current_epoch, batch_idx, trainer.global_rank
        )
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  # third-party code draws from it
        # Takes 1 µs where torch.manual_seed takes 0.1 ms.
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.failed = True

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.failed:
            checkpoint[FAILED] = True
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        interval = trainer.check_val_every_n_epoch
        validates = trainer.enable_validation and (
            interval is None or (checkpoint["epoch"] + 1) % interval == 0
        )
        finish_last_batch(checkpoint["loops"]["fit_loop"], validates)
        train_begun_batch(checkpoint["loops"]["fit_loop"])
        states = checkpoint["callbacks"]
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.state_key in states:
                callback.current_score = states[callback.state_key]["current_score"]


def train_begun_batch(fit_loop: dict[str, Any]) -> None:
    """Rewrite the loader's place in a checkpoint written before a batch was trained, in place.

    The loader has handed that batch out already, and would go on with the next one.

    Args:
        fit_loop: the entry `["loops"]["fit_loop"]` of a checkpoint.
    """
    batches = fit_loop["epoch_loop.batch_progress"]["current"]
    if batches["ready"] > batches["processed"]:
        for loader in fit_loop["state_dict"].get("combined_loader", []):
            if "position" in loader:
                loader["position"] = batches["processed"]


def restore_accumulation(trainer: Trainer) -> None:
    """Give a `GradientAccumulationScheduler` the value of the epoch that a run resumes inside.

    By itself it acts at beginnings of epochs only. Called when all callbacks have begun, since it
    refuses any value but 1 until then.
    """
    epoch = trainer.current_epoch
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    for callback in callbacks:
        if isinstance(callback, GradientAccumulationScheduler):
            trainer.accumulate_grad_batches = callback.get_accumulate_grad_batches(epoch)


def finish_last_batch(fit_loop: dict[str, Any], validates: bool) -> None:
    """Rewrite the loop state of a checkpoint written right after an epoch's last batch, in place.

    The batch is marked complete and validation as just begun: the state in which Lightning runs the
    whole validation and then the epoch's end. Any other state is left alone.
    (Lightning-AI/pytorch-lightning#19815 and the threads linked there.)

    Args:
        fit_loop: the entry `["loops"]["fit_loop"]` of a checkpoint.
        validates: whether validation follows this epoch.
    """
    batches = fit_loop["epoch_loop.batch_progress"]
    completed = batches["current"]["completed"] == batches["current"]["processed"]
    if completed or not batches["is_last_batch"]:
        return
    for counts in (batches["total"], batches["current"]):
        counts["completed"] = counts["processed"]
    if validates:
        progress = fit_loop["epoch_loop.val_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            counts.update(ready=1, started=1, processed=0, completed=0)
    else:
        # Validation would have counted it.
        fit_loop["epoch_loop.state_dict"]["_batches_that_stepped"] += 1
