"""Learning rate and weight decay of each step of a run, known without training it."""

import copy
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from callbacks.interventions import (
    LearningRateFactor,
    LearningRateRestart,
    Level,
    OneShot,
    Rewind,
    WeightDecaySchedule,
)
from callbacks.interventions.planned_actions import interventions, times
from datamodules import ImageDataModule
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.studies.budget import Budget, budget
from plasticity_lab.surgery.optimizer_state import SCHEDULED_KEYS
from plasticity_lab.timing import Position, Time


def scheduled(trainer: Trainer, module: LightningModule) -> Budget:
    """Return how a run will spend its learning rate and weight decay, interventions included.

    Of several parameter groups the first one counts.

    Args:
        trainer: of the run, built and checked, with its data module.
        module: its module.

    Raises:
        UserError: if that is not known before the run.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
    optimizer, scheduler, _ = build_optimizer(module)
    if not isinstance(data, ImageDataModule) or optimizer is None:
        raise UserError("budget", problem="is known of ImageDataModule and one optimizer only")
    if data.growth and data.growth.until:
        raise UserError(
            "budget", problem="is not known before the run, as stages wait for the network"
        )
    if isinstance(scheduler, ReduceLROnPlateau):
        raise UserError(
            "budget", problem="is not known before the run, as the schedule waits for the loss"
        )

    moments = [time for intervention in interventions(trainer) for time in times(intervention)]
    path = data.plan(trainer).positions(moments)
    schedule = _Schedule(trainer, module, optimizer, scheduler)
    rates: list[float] = []
    decays: list[float] = []
    for before, now, after in zip([None, *path[:-2]], path[:-1], path[1:], strict=True):
        rate, decay = schedule.at(before, now)
        rates += [rate] * (after.step - now.step)
        decays += [decay] * (after.step - now.step)
    if not rates:
        raise UserError("budget", problem="the run has no step")
    return budget(
        rates,
        decays if "weight_decay" in optimizer.defaults else None,
        dict(_switches(data, trainer, path)),
    )


class _Schedule:
    """Plays optimizer, schedule and interventions, without training."""

    def __init__(
        self, trainer: Trainer, module: LightningModule, optimizer: Optimizer, scheduler: Any
    ) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.interventions = interventions(trainer)
        self.epochs = trainer.max_epochs or 0
        self.snapshots: dict[Rewind, Any] = {}
        self.begun = self._state()

    def at(self, before: Position | None, now: Position) -> tuple[float, float]:
        """Return rate and weight decay from a position on, given the one before it."""
        if before and now.epoch > before.epoch and self.scheduler is not None:
            with warnings.catch_warnings():
                # The optimizer never steps here, which schedules warn of.
                warnings.simplefilter("ignore")
                self.scheduler.step()
        factor = 1.0
        for intervention in self.interventions:
            if isinstance(intervention, LearningRateFactor):
                factor *= self._level(intervention, now, 1.0)
            if isinstance(intervention, Rewind) and self._crosses([intervention.to], before, now):
                self.snapshots[intervention] = self._state()
            if isinstance(intervention, OneShot) and self._crosses(intervention.at, before, now):
                self._act(intervention)
        group = self.optimizer.param_groups[0]
        decay = group.get("weight_decay", 0.0)
        for intervention in self.interventions:
            if isinstance(intervention, WeightDecaySchedule):
                decay = self._level(intervention, now, decay)
        return float(group["lr"]) * factor, float(decay)

    def _crosses(self, moments: list[Time], before: Position | None, now: Position) -> bool:
        return any(time.crossed(before, now, self.epochs) for time in moments)

    def _level(self, intervention: Level, now: Position, otherwise: float) -> float:
        value = intervention.levels.at(now, self.epochs)
        return otherwise if value is None else value

    def _act(self, intervention: OneShot) -> None:
        if isinstance(intervention, LearningRateRestart):
            self._return_to(self.begun)
        if isinstance(intervention, Rewind) and intervention.learning_rate == "rewind":
            self._return_to(self.snapshots[intervention])

    def _state(self) -> Any:
        groups = []
        for group in self.optimizer.param_groups:
            groups.append({key: group[key] for key in SCHEDULED_KEYS if key in group})
        return copy.deepcopy((groups, self.scheduler.state_dict() if self.scheduler else None))

    def _return_to(self, state: Any) -> None:
        groups, schedule = copy.deepcopy(state)
        for group, old in zip(self.optimizer.param_groups, groups, strict=True):
            group.update(old)
        if self.scheduler:
            self.scheduler.load_state_dict(schedule)


def _switches(
    data: ImageDataModule, trainer: Trainer, path: list[Position]
) -> Iterator[tuple[str, int]]:
    """Yield what changes inside a run and at which step.

    Times of interventions, edges of windows, data stages.
    """
    epochs = trainer.max_epochs or 0
    moments = [
        (f"{type(intervention).__name__} {time}", time)
        for intervention in interventions(trainer)
        for time in times(intervention)
    ]
    for name, window in data.schedule.transforms.windows:
        kind = name.partition("(")[0]
        moments += [
            (f"{kind} begins {window.start}", window.start),
            (f"{kind} ends {window.stop}", window.stop),
        ]
    for before, now in pairwise(path[:-1]):
        for name, time in moments:
            if time.crossed(before, now, epochs):
                yield name, now.step
        if now.stage > before.stage:
            yield f"data stage {now.stage}", now.step
