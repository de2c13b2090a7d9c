"""Progress where there is no terminal."""

import sys
import time

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar


class PlainTextProgress(ProgressBar):
    """Prints one line per epoch with its time and metrics, for logs in files.

    A progress bar would flood such a file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.finished = 0
        self.started = 0.0

    def disable(self) -> None:
        """Print nothing (Lightning calls this on every rank but the first)."""
        self.enabled = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line(trainer)
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The line is printed later, as the module has not logged the epoch's values yet.
        self.finished = trainer.current_epoch + 1

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line(trainer)

    def _line(self, trainer: Trainer) -> None:
        if self.enabled and self.finished:
            epoch = f"epoch {self.finished}/{trainer.max_epochs}"
            seconds = f"{time.monotonic() - self.started:.1f} s"
            values = [
                f"{name} {float(value):.4f}"
                for name, value in sorted(trainer.callback_metrics.items())
            ]
            print("  ".join([epoch, seconds, *values]), file=sys.stderr, flush=True)
        self.finished = 0
