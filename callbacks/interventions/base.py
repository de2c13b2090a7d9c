"""The two kinds of intervention: what happens once, and what holds from a moment on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.clock import Act, Clock
from callbacks.interventions.rank_consistency import check_ranks
from callbacks.interventions.weight_averages import copy_if_averaged, sync_weight_averages
from callbacks.network import check_sizes_known
from datamodules.naming import Named
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Epoch, Levels, Position, Time


class Draws(NamedTuple):
    """The random streams of one intervention at one moment, the same on every rank.

    They are keyed by the run's seed, the class and the moment.

    Attributes:
        seed: the run's seed.
        initial_seed: the one that the initial values were drawn from.
        purpose: the intervention's class.
        where: the position at which it acts.
    """

    seed: int
    initial_seed: int
    purpose: str
    where: Position

    def key(self, name: str) -> tuple[int, str, int, int, str]:
        """Return what keys the draws for the layer or parameter of that name."""
        return self.seed, self.purpose, self.where.epoch, self.where.step, name

    def initial_key(self, name: str) -> tuple[int, str, str]:
        """Return what keyed the initial draw of the layer of that name."""
        return self.initial_seed, "init", name

    def generator(self, name: str) -> torch.Generator:
        """Return a generator for the layer or parameter of that name."""
        return generator(*self.key(name))


class OneShot(Named, Callback, ABC):
    """Acts once at each of its moments, before the forward pass of the first batch at or after it.

    Interventions at one moment act in the order of the list.

    It keeps no state: the run's clock records what was applied, so that it acts exactly once,
    whichever checkpoint a run resumes from. Each action is logged as `interventions/<Class>` = 1 at
    its step. If Lightning's `WeightAveraging` is active, its averaged weights are updated too.

    Args:
        at: moments; `stages` is every arrival of data.
    """

    def __init__(self, at: list[Time]) -> None:
        self.at = [Time(time) for time in at]

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise UserError, before training, for what this run does not have."""

    def in_force(self, epoch: Epoch) -> str | None:
        """Return what it does in an epoch, None if nothing; studies share epochs by it."""
        if not all(epoch.knows(time) for time in self.at):
            return f"{self!r} at {', '.join(map(str, self.at))} of {epoch.epochs} epochs"
        acts = any(time.crossed(epoch.before, epoch.now, epoch.epochs) for time in self.at)
        return repr(self) if acts else None

    def times(self) -> list[Time]:
        """Return the moments that it names."""
        return self.at

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            Clock.add_to(trainer, pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        check_in_any_trainer(self, trainer, pl_module)

    @abstractmethod
    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Act, with gradients off."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        clock, epochs = Clock.of(trainer), trainer.max_epochs or 0
        if not any(time.crossed(clock.last, clock.now, epochs) for time in self.at):
            return
        act = Act(clock.now, repr(self), None, clock.last)
        # A checkpoint may have been written after it, as its batch failed.
        if act in clock.acts:
            return
        name = type(self).__name__
        draws = Draws(clock.seed, clock.initial_seed, name, clock.now)
        before = copy_if_averaged(trainer, pl_module)
        with torch.no_grad():
            self.apply(trainer, pl_module, draws)
            sync_weight_averages(trainer, pl_module, before)
        check_ranks(trainer, pl_module, name)
        clock.acts.append(act)
        log(trainer, name, 1)


class Level(Named, Callback, ABC):
    """Sets a value at each of its moments, which holds until the next one.

    It is set before the forward pass of the first batch at or after the moment.

    Before the first moment nothing is set. The value is a function of time and is set again when a
    run resumes. It is logged as `interventions/<Class>` when it changes and at
    each epoch's first batch.

    Args:
        levels: `{moment: value}`, increasing in time.
    """

    def __init__(self, levels: Mapping[str, float]) -> None:
        self.levels = Levels(levels)
        self._held: float | None = None

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise UserError, before training, for what this run does not have."""

    def in_force(self, epoch: Epoch) -> str | None:
        """Return the value in an epoch, None before the first; studies share epochs by it."""
        value = self.levels.in_force(epoch)
        return None if value is None else f"{self!r}: {value}"

    def times(self) -> list[Time]:
        """Return the moments that it names."""
        return [time for time, _ in self.levels.entries]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            Clock.add_to(trainer, pl_module)
            # A fit has new optimizers, in which nothing has been set yet.
            self._held = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        check_in_any_trainer(self, trainer, pl_module)

    @abstractmethod
    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Let the value hold."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        clock = Clock.of(trainer)
        value = self.levels.at(clock.now, trainer.max_epochs or 0)
        if value is None:
            return
        changed = False
        if value != self._held:
            self._held = value
            self.set(trainer, pl_module, value)
            earlier = [act.value for act in clock.acts if act.name == repr(self)]
            changed = earlier[-1:] != [value]
        if changed:
            clock.acts.append(Act(clock.now, repr(self), value, clock.last))
        if changed or batch_idx == 0:
            log(trainer, type(self).__name__, value)


def check_in_any_trainer(
    intervention: OneShot | Level, trainer: Trainer, module: LightningModule
) -> None:
    """Raise UserError for what a run lacks that `plasticity_lab` has not built and checked."""
    if not Clock.of(trainer).added:
        return
    shares = [time for time in intervention.times() if time.unit == "%"]
    if shares and (trainer.max_epochs or 0) < 1:
        raise UserError(
            "max_epochs",
            value=trainer.max_epochs,
            problem=f"{shares[0]} is a share of the number of epochs",
            fix="set it",
        )
    check_sizes_known(module)
    intervention.check(trainer, module)


def log(trainer: Trainer, name: str, value: float, step: int | None = None) -> None:
    """Log `interventions/<name>` at a step, by default the one that comes next."""
    for logger in trainer.loggers:
        logger.log_metrics(
            {f"interventions/{name}": value}, trainer.global_step if step is None else step
        )
