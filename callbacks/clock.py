"""Where a run is, what is active there, and what has been done to it."""

import json
import os
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.history import Answers, RunHistory
from plasticity_lab.schedule import Answer, RunSchedule, Timed
from plasticity_lab.timing import Position

_MANY = 10**12
"""More steps than any run has."""


def run_seed(trainer: Trainer, module: LightningModule) -> int:
    """Return the seed of a run: of its data or module, else that of `seed_everything`."""
    for part in (getattr(trainer, "datamodule", None), module):
        if isinstance(seed := getattr(part, "seed", None), int):
            return seed
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def run_schedule(trainer: Trainer) -> RunSchedule:
    """Return all that acts over time in a run: its data, then its callbacks."""
    data: Any = getattr(trainer, "datamodule", None)
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    parts = data.timed_parts() if isinstance(data, ImageDataModule) else []
    parts += [callback for callback in callbacks if isinstance(callback, Timed)]
    return RunSchedule(parts, trainer.max_epochs or 0)


def check_times(trainer: Trainer) -> None:
    """Raise UserError for moments that a run never reaches."""
    schedule = run_schedule(trainer)
    # A fast_dev_run ends after one batch.
    if trainer.fast_dev_run or not schedule.times:  # type: ignore[attr-defined]  # set by a helper
        return
    data: Any = getattr(trainer, "datamodule", None)
    if isinstance(data, ImageDataModule):
        plan = data.plan(trainer)
        path, last = plan.positions(schedule.times), plan.latest()
        most = "at most " if plan.waits else ""
        counts = f"{_some(last.epoch + 1, 'epoch')}, {_some(last.step + 1, 'step')}"
        extent = f"{counts}, and {_some(last.stage + 1, 'data stage')}"
        schedule.check_times(path[:1] if plan.waits else path, last, f"{most}{extent}")
    else:
        last = Position(schedule.epochs - 1, _MANY)
        extent = f"{_some(schedule.epochs, 'epoch')}, and no data stages"
        schedule.check_times([Position(0, 0)], last, extent)


def _some(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count > 1)}"


class Clock(Callback):
    """Where a run is, and the history of what has been done to it, which is in every checkpoint.

    It names no class: an arm can resume from another arm's checkpoint if both have the same history
    up to it. It stands before all interventions.

    Args:
        seed: the run's seed (`seed_everything`), set by train.py.

    Attributes:
        initial_seed: the seed that the initial values were drawn from: a branch may have another.
        now: the position of the batch that is trained.
        schedule: all that acts over time in the run.
        answers: what its parts do at that batch, by their keys.
        history: what has been done to it.
        added: whether a callback has added it, in a Trainer that was not built by `plasticity_lab`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = self.initial_seed = seed
        self.now = Position(0, 0)
        self.schedule = RunSchedule([], 0)
        self.answers: Answers = ()
        self.history = RunHistory()
        self.added = False
        self._readable = True

    @property
    def last(self) -> Position | None:
        """The position of the last batch that was trained; None before the first."""
        return self.history.last

    @staticmethod
    def of(trainer: Trainer) -> "Clock":
        """Return the clock of a run."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        (clock,) = [callback for callback in callbacks if isinstance(callback, Clock)]
        return clock

    @staticmethod
    def add_to(trainer: Trainer, module: LightningModule) -> "Clock":
        """Return the clock of a trainer; one that has none gets it before all other callbacks."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        for callback in callbacks:
            if isinstance(callback, Clock):
                return callback
        clock = Clock(run_seed(trainer, module))
        clock.initial_seed = int(getattr(module, "seed", clock.seed))
        clock.setup(trainer, module, "fit")
        # A new list, since Lightning is going through the old one when callbacks are set up.
        clock.added = True
        trainer.callbacks = [clock, *callbacks]  # type: ignore[attr-defined]
        return clock

    def pending(self, part: Timed) -> Answer:
        """Return what a part is to do before the present batch; None if nothing, or done already.

        A checkpoint may have been written after it acted, as the batch failed.
        """
        if part.key in self.history.acted:
            return None
        return self.schedule.active(part, self.last, self.now)

    def begins(self, part: Timed) -> bool:
        """Whether a part begins to do something with the present batch."""
        return self.schedule.begins(part, self.last, self.now)

    def has_acted(self, part: Timed, answer: Answer) -> None:
        """Record that a part has acted before the present batch, which it does once."""
        self.history.acted[part.key] = answer

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if isinstance(data, ImageDataModule):
            data.history = self.history

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that `plasticity_lab` has built was checked before.
        if self.added:
            self.check(trainer)
            self.check_history(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.schedule = run_schedule(trainer)
        self.history.times_given |= self.schedule.times_given
        self.history.order = {part.key: place for place, part in enumerate(self.schedule.parts)}

    def check(self, trainer: Trainer) -> None:
        """Raise UserError for moments that never come."""
        schedule = run_schedule(trainer)
        shares = [time for time in schedule.times if time.unit == "%"]
        if shares and schedule.epochs < 1:
            raise UserError(
                "max_epochs",
                value=trainer.max_epochs,
                problem=f"{shares[0]} is a share of the number of epochs",
                fix="set it",
            )
        if schedule.epochs >= 1:
            check_times(trainer)

    def check_readable(self) -> None:
        """Raise UserError if the checkpoint that was loaded has no history that can be read."""
        if not self._readable:
            raise UserError(
                "checkpoint",
                problem="was written by an earlier version, whose history this one cannot read",
                fix="start a new run",
            )

    def check_history(self, trainer: Trainer) -> None:
        """Raise UserError for what contradicts the past of the checkpoint that was loaded."""
        self.check_readable()
        data: Any = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule):
            run_schedule(trainer).check_history(self.history)
            return
        decisions, epochs = self.history.stages, trainer.max_epochs or 0
        if waiting := data.stages.waiting(decisions, epochs):
            waiting.check_history(self.last)
        run_schedule(trainer).check_history(
            self.history,
            lambda now: data.stages.position(now.epoch, now.step, epochs, decisions),
        )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if isinstance(data, ImageDataModule):
            self.now = data.now
        else:
            self.now = Position(trainer.current_epoch, trainer.global_step)
        self.answers = self.schedule.answers(self.last, self.now)
        self.history.begin(self.now)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        held = self.schedule.answers(self.now, self.now)
        self.history.trained(self.now, self.answers, held)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain values, the history as JSON.

        Many small values in a checkpoint take torch long to read, which each checkpoint is once it
        is written.
        """
        return {"initial_seed": self.initial_seed, "history": self.history.to_json()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history of a checkpoint."""
        self.initial_seed = state_dict["initial_seed"]
        history = state_dict.get("history")
        self._readable = isinstance(history, str)
        if isinstance(history, str):
            self.history.load_state_dict(json.loads(history))
            self.now = self.history.last or self.now
