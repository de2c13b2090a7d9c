"""Ends a session early, in a state from which the run resumes exactly."""

import signal
import threading
import time
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from plasticity_lab.errors import SessionEnd
from plasticity_lab.runs.last_checkpoint import LastCheckpoint

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What a user, a scheduler and Slurm (`--signal=USR1@90`) send to end a session."""


class Interruption(Callback):
    """Ends the session at a signal or after its time, between two batches, with a checkpoint.

    Lightning stops at a signal with exit code 0 and without a checkpoint, or writes one in the
    middle of a step (on Slurm), and its `Timer` ends the epoch as if it were complete. Here
    training continues until the optimizer has stepped, `last.ckpt` is written if the run keeps
    checkpoints, and training stops where the next batch would begin, when all of the last one has
    been logged. A second Ctrl-C ends the process at once. Stands first, so that nothing else acts
    on the batch that is not trained.

    Args:
        last: writes the checkpoint.
        seconds: how long a session may train; None is as long as it takes.
    """

    def __init__(self, last: LastCheckpoint, seconds: float | None) -> None:
        self.last, self.seconds = last, seconds
        self.begun, self.steps = time.monotonic(), 0
        self.received: signal.Signals | None = None
        self.end: SessionEnd | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begun, self.steps = time.monotonic(), trainer.global_step
        # Lightning has set its handlers by now, and will put back those from before them.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._receive)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        # The gradients of an accumulation that has yet to step are in no checkpoint.
        before, self.steps = self.steps, trainer.global_step
        if self.steps == before and not trainer.is_last_batch:
            return
        # All ranks have to stop at the same batch.
        reduce_decision = trainer.strategy.reduce_boolean_decision
        out_of_time = self.seconds is not None and reduce_decision(
            time.monotonic() - self.begun >= self.seconds, all=False
        )
        if reduce_decision(self.received is not None, all=False):
            self.end = SessionEnd(self.received or signal.SIGTERM)
        elif out_of_time:
            self.end = SessionEnd(None)
        keeps = any(
            isinstance(callback, ModelCheckpoint) for callback in trainer.checkpoint_callbacks
        )
        if self.end and keeps:
            self.last.due = True

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._stop()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.end:
            raise self.end

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
