"""Learning rate and weight decay of each step of a run, known without training it."""

import copy
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from callbacks.clock import run_schedule
from callbacks.interventions import (
    LearningRateFactor,
    LearningRateRestart,
    Rewind,
    WeightDecaySchedule,
)
from callbacks.interventions.rewind import RETURNS, TAKES
from datamodules import ImageDataModule
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import RunSchedule
from plasticity_lab.studies.budget import Budget, budget
from plasticity_lab.surgery.optimizer_state import SCHEDULED_KEYS
from plasticity_lab.timing import Every, Position


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
    if data.stages.waits:
        raise UserError(
            "budget", problem="is not known before the run, as stages wait for the network"
        )
    if isinstance(scheduler, ReduceLROnPlateau):
        raise UserError(
            "budget", problem="is not known before the run, as the schedule waits for the loss"
        )

    schedule = _Schedule(run_schedule(trainer), optimizer, scheduler)
    path = data.plan(trainer).positions(schedule.run.times)
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
        dict(_switches(schedule.run, path)),
    )


class _Schedule:
    """Plays optimizer, schedule and interventions, without training."""

    def __init__(self, run: RunSchedule, optimizer: Optimizer, scheduler: Any) -> None:
        self.run, self.optimizer, self.scheduler = run, optimizer, scheduler
        self.snapshots: dict[Rewind, Any] = {}
        self.begun = self._state()

    def at(self, before: Position | None, now: Position) -> tuple[float, float]:
        """Return rate and weight decay from a position on, given the one before it."""
        if before and now.epoch > before.epoch and self.scheduler is not None:
            with warnings.catch_warnings():
                # The optimizer never steps here, which schedules warn of.
                warnings.simplefilter("ignore")
                self.scheduler.step()
        factor, decays = 1.0, list[float]()
        for part in self.run.parts:
            answer = self.run.active(part, before, now)
            if isinstance(part, LearningRateFactor) and isinstance(answer, int | float):
                factor *= answer
            if isinstance(part, WeightDecaySchedule) and isinstance(answer, int | float):
                decays.append(answer)
            if isinstance(part, LearningRateRestart) and answer:
                self._return_to(self.begun)
            if isinstance(part, Rewind) and answer == TAKES:
                self.snapshots[part] = self._state()
            if isinstance(part, Rewind) and answer == RETURNS and part.learning_rate == "rewind":
                self._return_to(self.snapshots[part])
        group = self.optimizer.param_groups[0]
        decay = decays[-1] if decays else group.get("weight_decay", 0.0)
        return float(group["lr"]) * factor, float(decay)

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


def _switches(run: RunSchedule, path: list[Position]) -> Iterator[tuple[str, int]]:
    """Yield what changes inside a run and at which step: moments of its parts, data stages.

    Of what recurs it is the first time.
    """
    stage_times = [time for part in run.parts for time in part.stage_times or ()]
    stages_recur = any(isinstance(time, Every) for time in stage_times)
    for before, now in pairwise(path[:-1]):
        for part in run.parts:
            moments = [] if part.stage_times else part.times()
            earlier, standing = run.active(part, before, before), run.active(part, now, now)
            if earlier is None and run.active(part, before, now) is None:
                continue  # an empty window
            word = " begins" if standing is True else " ends" if earlier and not standing else ""
            for time in moments:
                if not time.crossed(before, now, run.epochs):
                    continue
                if not isinstance(time, Every) and not (stages_recur and time.unit == "stages"):
                    yield f"{type(part).__name__}{word} {time}", now.step
                elif not time.reached(before, run.epochs):
                    yield f"{type(part).__name__} every {time}, first", now.step
        if now.stage > before.stage and not (stages_recur and before.stage):
            yield f"data stage {now.stage}", now.step
