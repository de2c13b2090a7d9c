"""The kinds of intervention: what happens once, what holds from a moment on, and each step."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.clock import Clock
from callbacks.interventions.rank_consistency import check_ranks
from callbacks.interventions.weight_averages import copy_if_averaged, sync_weight_averages
from callbacks.network import check_sizes_known
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Every, Levels, Position, Time


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


class Intervention(Timed, Callback):
    """Something done to a run at some times; `OneShot`, `Level` and `EachStep` are its kinds.

    Attributes:
        tags: names of values that it logs as `interventions/<Class>/<name>` besides that it acts,
            with `<…>` in place of what depends on the run.
    """

    tags: ClassVar[tuple[str, ...]] = ()

    @property
    def state_key(self) -> str:
        """What its state is kept by in checkpoints: one with other arguments begins anew."""
        return repr(self)

    def begin(self) -> None:
        """Forget what it keeps, before a run that goes on from no checkpoint."""

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise UserError, before training, for what this run does not have."""

    def check_state(self, module: LightningModule, state: Mapping[str, Any]) -> None:
        """Raise UserError for the state of a checkpoint from which this run cannot go on.

        A checkpoint whose state has a true `still_acts` is refused without the intervention.

        Args:
            module: what is trained.
            state: what `state_dict` returned; empty if the checkpoint has none.
        """

    def hold(self, trainer: Trainer, module: LightningModule) -> None:
        """Restore what must hold whatever an intervention has just done, with gradients off."""

    def hold_gradients(self) -> None:
        """Restore what must hold of gradients whatever a penalty has just added to them."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and Clock.add_to(trainer, pl_module).last is None:
            # It may have been in another Trainer; a checkpoint is loaded after this.
            self.begin()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that `plasticity_lab` has built was checked before.
        if Clock.of(trainer).added:
            check_sizes_known(pl_module)
            self.check(trainer, pl_module)


class OneShot(Intervention):
    """Acts once at each of its moments, before the forward pass of the first batch at or after it.

    Interventions at one moment act in the order of the list.

    It keeps no state: the run's history says what has been done, so that it acts exactly once,
    whichever checkpoint a run resumes from. Each action is logged as `interventions/<Class>` = 1 at
    its step. If Lightning's `WeightAveraging` is active, its averaged weights are updated too.

    Args:
        at: moments; `stages` is every arrival of data.
        every: in place of `at`, again and again: `10ep` at the starts of epochs 10, 20, …, `100st`
            after 100, 200, … steps, `10%` at these shares of `max_epochs`.

    Raises:
        UserError: if both or neither are given.
    """

    def __init__(self, at: list[Time] | None = None, every: Time | None = None) -> None:
        if (at is None) == (every is None):
            raise UserError(
                type(self).__name__, fix="set either at: [times] or every: time, such as 10ep"
            )
        self.at = [Time(time) for time in at or []]
        self.every = Every(every) if every is not None else None

    def times(self) -> list[Time]:
        """Return the moments that it names."""
        return [*self.at, *([self.every] if self.every else [])]

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return whether it acts."""
        acts = any(time.crossed(before, now, epochs) for time in OneShot.times(self))
        return True if acts else None

    @abstractmethod
    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Act, with gradients off."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        clock = Clock.of(trainer)
        answer = clock.pending(self)
        if answer is not None:
            self.act(trainer, pl_module, answer)
            clock.has_acted(self, answer)

    def act(self, trainer: Trainer, module: LightningModule, answer: Answer) -> None:
        """Do what it has answered, to averaged weights too, and log it."""
        clock, name = Clock.of(trainer), type(self).__name__
        draws = Draws(clock.seed, clock.initial_seed, name, clock.now)
        before = copy_if_averaged(trainer, module)
        with torch.no_grad():
            self.apply(trainer, module, draws)
            _hold_all(trainer, module)
            sync_weight_averages(trainer, module, before)
        check_ranks(trainer, module, name)
        log(trainer, name, 1)


class Level(Intervention):
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
        self._held: Answer = None

    def times(self) -> list[Time]:
        """Return the moments that it names."""
        return self.levels.times

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the value that holds, None before the first."""
        return self.levels.at(now, epochs)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            # A fit has new optimizers, in which nothing has been set yet.
            self._held = None

    @abstractmethod
    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Let the value hold."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        clock = Clock.of(trainer)
        value: Any = clock.pending(self)
        if value is None:
            return
        if value != self._held:
            self._held = value
            self.set(trainer, pl_module, value)
        if batch_idx == 0 or clock.begins(self):
            log(trainer, type(self).__name__, value)


class EachStep(Level):
    """Acts before the forward pass of the first batch after each optimizer step.

    It acts with the value that holds, from its first moment on, and exactly once after each step,
    whichever checkpoint a run resumes from. Before the first step of a run there is nothing to act
    on. Averages of weights (Lightning's `WeightAveraging`) go on by themselves. Logged as `Level`.
    """

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Do nothing yet: it acts after each step."""

    @abstractmethod
    def apply(self, trainer: Trainer, module: LightningModule, value: float, draws: Draws) -> None:
        """Act, with gradients off.

        Args:
            trainer: the run's.
            module: what is trained.
            value: the one that holds.
            draws: the random streams of this step.
        """

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        clock, name = Clock.of(trainer), type(self).__name__
        value: Any = clock.pending(self)
        stepped = clock.last is not None and not clock.now.same_place(clock.last)
        if value is None or not stepped:
            return
        with torch.no_grad():
            draws = Draws(clock.seed, clock.initial_seed, name, clock.now)
            self.apply(trainer, pl_module, value, draws)
            _hold_all(trainer, pl_module)
        clock.has_acted(self, value)
        if batch_idx == 0 or clock.begins(self):
            check_ranks(trainer, pl_module, name)


def interventions_of(trainer: Trainer) -> list[Intervention]:
    """Return a run's interventions, in the order of its callbacks."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    return [callback for callback in callbacks if isinstance(callback, Intervention)]


def _hold_all(trainer: Trainer, module: LightningModule) -> None:
    for intervention in interventions_of(trainer):
        intervention.hold(trainer, module)


def check_interventions(trainer: Trainer, module: LightningModule) -> None:
    """Raise UserError for an intervention that this run has no use for, or has twice."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    keys = [callback.key for callback in callbacks if isinstance(callback, Timed)]
    for callback in callbacks:
        if isinstance(callback, Timed) and callback.changes_run and keys.count(callback.key) > 1:
            raise UserError(
                f"{callback!r}",
                problem="stands twice in callbacks",
                fix="list it once, with all its times",
            )
        if isinstance(callback, Intervention):
            callback.check(trainer, module)


def log(trainer: Trainer, name: str, value: float, step: int | None = None) -> None:
    """Log `interventions/<name>` at a step, by default the one that comes next."""
    for logger in trainer.loggers:
        logger.log_metrics(
            {f"interventions/{name}": value}, trainer.global_step if step is None else step
        )
