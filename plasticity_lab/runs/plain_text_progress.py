"""Progress where there is no terminal."""

import sys
import time

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar


class PlainTextProgress(ProgressBar):
    """Prints one line per epoch with its time and metrics, in place of a progress bar that would flood a log file."""

    def __init__(self) -> None:
        super().__init__()
        self.enabled, self.finished, self.started = True, 0, 0.0

    def disable(self) -> None:
        """Print nothing (Lightning calls this on every rank but the first)."""
        self.enabled = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line(trainer)
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.finished = (
            trainer.current_epoch + 1
        )  # the module has not logged the epoch's values yet

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line(trainer)

    def _line(self, trainer: Trainer) -> None:
        if self.enabled and self.finished:
            values = [
                f"{name} {float(value):.4f}"
                for name, value in sorted(trainer.callback_metrics.items())
            ]
            line = "  ".join(
                [
                    f"epoch {self.finished}/{trainer.max_epochs}",
                    f"{time.monotonic() - self.started:.1f} s",
                    *values,
                ]
            )
            print(line, file=sys.stderr, flush=True)
        self.finished = 0
