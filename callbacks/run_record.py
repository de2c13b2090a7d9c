"""Makes the run's directory when the run begins, and keeps its manifest."""

import sys
import time
from typing import Any

from filelock import FileLock, Timeout
from pytorch_lightning import Callback, LightningModule, Trainer

import manifest
import run_directory
from errors import UserError


class RunRecord(Callback):
    """Writes resolved config and manifest before anything else of the run, when all that can be wrong with the input is known.

    The directory is locked while the run lasts; the lock goes with the process, however that ends.

    Args:
        place: where the run is kept.
        config: text of the resolved config.
        seed: the run's seed.
    """

    def __init__(self, place: run_directory.Place, config: str, seed: int) -> None:
        self.place, self.config, self.seed, self.started = place, config, seed, time.monotonic()
        self.lock = FileLock(place.directory / ".lock")
        self.begun = False

    def begin(self, trainer: Trainer) -> None:
        """Make the directory, once.

        Raises:
            UserError: if another process trains in it.
        """
        if self.begun or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper
            return
        directory = self.place.directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"run_dir: {directory}: cannot be made ({error.strerror}); name another") from None
        self.begun = True
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"run_dir: {directory}: another process trains there; wait for it, or name a new directory") from None
        run_directory.claim(directory, self.config)
        data: Any = getattr(trainer, "datamodule", None)
        entry = manifest.session(trainer.strategy.root_device, sys.argv, self.place.checkpoint)
        manifest.open_session(directory, self.seed, getattr(data, "fingerprint", None), entry)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin(trainer)  # a finished run that is resumed trains nothing

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.lock.is_locked:
            manifest.close_session(self.place.directory, time.monotonic() - self.started)
        self.lock.release()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.lock.release()
