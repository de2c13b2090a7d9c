"""Callbacks that declare what is active when, and behave otherwise."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Position, Time


class Promising(Timed, Callback):
    """Declares that nothing is active."""

    def active(self, before: Position | None, now: Position, epochs: int) -> None:
        """Nothing."""

    def add(self, module: LightningModule, amount: float) -> None:
        """Move a parameter."""
        with torch.no_grad():
            next(module.parameters()).add_(amount)


class Preempted(Promising):
    """Is stopped by a scheduler in its first sessions.

    By the handler of the run's, and by the default one.
    """

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        file = Path("stopped")
        before = file.read_text() if file.exists() else ""
        if trainer.global_step == 2 and len(before) < 3:
            file.write_text(before + "x")
            if len(before) == 2:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)


class Trace(Promising):
    """Writes a line for each epoch that is trained: the epoch, and the GPUs that are seen."""

    def active(self, before: Position | None, now: Position, epochs: int) -> None:
        """Nothing."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with Path("epochs.txt").open("a") as file:
            file.write(f"{trainer.current_epoch} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")


class Counter(Promising):
    """Counts, and does not save it."""

    def __init__(self) -> None:
        self.count = 0

    def active(self, before: Position | None, now: Position, epochs: int) -> None:
        """Nothing."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.count += 1
        self.add(pl_module, 1e-3 * self.count)


class HalfTheRun(Promising):
    """Acts at half of the run, and does not say so."""

    def active(self, before: Position | None, now: Position, epochs: int) -> None:
        """Nothing."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == (trainer.max_epochs or 0) // 2:
            self.add(pl_module, 0.1)


class HiddenLength(Promising):
    """Fades over the run, and does not say so."""

    def active(self, before: Position | None, now: Position, epochs: int) -> None:
        """Nothing."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.add(pl_module, 0.1 * trainer.current_epoch / (trainer.max_epochs or 1))


class KeyedByTimes(Promising):
    """Remembers what it has done, under a key that another arm does not have."""

    def __init__(self, at: list[Time]) -> None:
        self.at, self.done = at, list[str]()

    def active(self, before: Position | None, now: Position, epochs: int) -> None:
        """Nothing."""

    @property
    def state_key(self) -> str:
        """Depends on the times."""
        return f"KeyedByTimes{[str(time) for time in self.at]}"

    def state_dict(self) -> dict[str, Any]:
        """Return what was done."""
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on."""
        self.done = state_dict["done"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for time in self.at:
            if str(time) not in self.done and time.reached(
                Position(trainer.current_epoch, 0), trainer.max_epochs or 0
            ):
                self.done.append(str(time))
                self.add(pl_module, 0.1)


class Unkeyed(Promising):
    """Draws from a stream of its own that advances from draw to draw."""

    def __init__(self) -> None:
        self.stream = torch.Generator().manual_seed(0)

    def active(self, before: Position | None, now: Position, epochs: int) -> None:
        """Nothing."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.add(pl_module, 0.01 * float(torch.rand((), generator=self.stream)))


class Broken(Timed, Callback):
    """Raises an error in the third epoch."""

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Say where."""
        return "broken" if now.epoch == 2 else None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("broken at epoch 2\nThe second line is about debugging.")
