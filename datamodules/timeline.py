"""A run's data over time, known before it runs: what changes when."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytorch_lightning import Trainer

from datamodules.course import Shown
from timing import Position, Time

if TYPE_CHECKING:
    from datamodules.image_data import ImageDataModule


def epoch_starts(data: "ImageDataModule", trainer: Trainer) -> list[Position]:
    """Return the start of every epoch of a run, and its end (where stages wait for the network: were they never to come)."""
    stages, now, starts = data.course.stages, Position(0, 0), []
    while now.epoch < (trainer.max_epochs or 0) and (trainer.max_steps < 0 or now.step < trainer.max_steps):
        now = now._replace(stage=stages.stage(now.epoch))
        starts.append(now)
        now = Position(now.epoch + 1, now.step + epoch_steps(data, trainer, now.stage), now.stage)
    return [*starts, now if trainer.max_steps < 0 else now._replace(step=min(now.step, trainer.max_steps))]


def epoch_steps(data: "ImageDataModule", trainer: Trainer, stage: int) -> int:
    """Return the number of optimizer steps of an epoch in a stage."""
    batches = len(data.loaders["train"].cut(data.course.stages.members(stage)))
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    return math.ceil(batches / trainer.accumulate_grad_batches)


def moments(data: "ImageDataModule") -> list[Time]:
    """Return every moment that the data module's windows name."""
    look = data.course.appearance
    windows = [deficit.during for deficit in look.deficits] + [look.augmentation_during] * bool(look.augmentation_during)
    return [time for window in windows if window for time in (window.start, window.stop)]


def positions(data: "ImageDataModule", trainer: Trainer) -> list[Position]:
    """Return every position of a run at which something can change, and its end."""
    starts = epoch_starts(data, trainer)
    steps = [int(time.number) for time in moments(data) if time.unit == "st" and time.number < starts[-1].step]
    inside = [max(start for start in starts if start.step <= step)._replace(step=step) for step in steps]
    return sorted({*starts, *inside})


def changes(data: "ImageDataModule", trainer: Trainer) -> Iterator[tuple[Position, Shown]]:
    """Yield each position at which what the network is shown changes, with what is in force from then on."""
    before = None
    for now in positions(data, trainer)[:-1]:
        shown = data.course.in_force(now)
        if shown != before:
            yield now, shown
        before = shown


def table(data: "ImageDataModule", trainer: Trainer) -> str:
    """Return the run's schedule as text."""
    rows: list[tuple[str, ...]] = [("epoch", "step", "stage", "examples", "steps/epoch", "deficits", "augmentation")]
    for now, shown in changes(data, trainer):
        steps, deficits = epoch_steps(data, trainer, shown.stage), ", ".join(shown.deficits) or "-"
        augmentation = type(data.augmentation).__name__ if shown.augmented else "-"
        rows.append((*map(str, (now.epoch, now.step, shown.stage, shown.examples, steps)), deficits, augmentation))
    end = epoch_starts(data, trainer)[-1]
    rows.append((str(end.epoch), str(end.step), "end", "", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *waiting(data)])


def waiting(data: "ImageDataModule") -> list[str]:
    """Return a line on the stages that wait for the network, if they do."""
    stages = data.course.stages
    if stages.growth is None or stages.growth.until is None:
        return []
    until, sizes = stages.growth.until, ", ".join(map(str, stages.sizes))
    latest = f", at the latest after {until.at_most} of the stage" if until.at_most else ""
    return [f"stages of {sizes} examples: the next begins when an epoch's train/accuracy reaches {until.train_accuracy}{latest}"]
