"""Makes the run's directory when training begins, and keeps its manifest."""

import sys
import time

from pytorch_lightning import Callback, LightningModule, Trainer

import manifest
import run_directory


class RunRecord(Callback):
    """Writes resolved config and manifest before the first step, when all that can be wrong with the input has been found.

    Args:
        place: where the run is kept.
        config: text of the resolved config.
        seed: the run's seed.
    """

    def __init__(self, place: run_directory.Place, config: str, seed: int) -> None:
        self.place, self.config, self.seed, self.started = place, config, seed, time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._writes(trainer):
            run_directory.claim(self.place.directory, self.config)
            data = getattr(trainer, "datamodule", None)
            entry = manifest.session(pl_module.device, sys.argv, self.place.checkpoint)
            manifest.open_session(self.place.directory, self.seed, getattr(data, "fingerprint", None), entry)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._writes(trainer):
            manifest.close_session(self.place.directory, time.monotonic() - self.started)

    def _writes(self, trainer: Trainer) -> bool:
        return trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a helper of Trainer
