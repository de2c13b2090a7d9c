"""Makes the run's directory when the run begins, and keeps its manifest."""

import sys
import time
from typing import Any

from filelock import FileLock, Timeout
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from plasticity_lab.errors import UserError
from plasticity_lab.runs import manifest, run_directory


class RunRecord(Callback):
    """Writes resolved config and manifest, once the input is known to be right.

    They are the first files of a run. The directory is locked while the run lasts; the lock ends
    with the process, however that ends. It is made in the process that trains, which may be a
    child of the one that was started.

    Args:
        place: where the run is kept.
        config: text of the resolved config.
        seed: the run's seed.

    Attributes:
        trainer: the run's, set once it is built.
    """

    def __init__(self, place: run_directory.RunLocation, config: str, seed: int) -> None:
        self.place = place
        self.config = config
        self.seed = seed
        self.started = time.monotonic()
        self.trainer: Trainer | None = None
        self.lock: FileLock | None = None

    @property
    def begun(self) -> bool:
        """Whether the directory is made, so that loggers may write."""
        return self.lock is not None

    def begin(self) -> None:
        """Make the directory, once, in the process that trains; testing finds it there.

        Raises:
            UserError: if another process trains in it.
        """
        trainer: Any = self.trainer
        fits = trainer.state.fn == TrainerFn.FITTING and not trainer.fast_dev_run
        if self.lock or not fits or not trainer.is_global_zero:
            return

        # Make the directory and take its lock.
        directory = self.place.directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                "run_dir",
                value=directory,
                problem=f"cannot be made ({error.strerror})",
                fix="name another",
            ) from None
        self.lock = FileLock(directory / ".lock")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                "run_dir",
                value=directory,
                problem="another process trains there",
                fix="wait for it, or name a new directory",
            ) from None

        # Write config and manifest.
        run_directory.clean(self.place)
        run_directory.write_config(directory, self.config)
        data: Any = getattr(trainer, "datamodule", None)
        entry = manifest.session(trainer.strategy.root_device, sys.argv, self.place.checkpoint)
        manifest.open_session(directory, self.seed, getattr(data, "fingerprint", None), entry)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Nothing may have been left to train.
        self.begin()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.lock and self.lock.is_locked:
            manifest.close_session(self.place.directory, time.monotonic() - self.started)
            self.lock.release()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self.lock:
            self.lock.release()
