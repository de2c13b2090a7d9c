"""A run's data over time, known before it runs: what changes when."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from datamodules.course import Shown
from datamodules.loader import shard
from datamodules.stages import Stages
from plasticity_lab.timing import Position, Time

if TYPE_CHECKING:
    from datamodules.image_data import ImageDataModule


def epoch_starts(data: "ImageDataModule", trainer: Trainer) -> list[Position]:
    """Return the start of every epoch of a run, and its end (where stages wait for the network: were they never to come)."""
    stages, now, starts = data.course.stages, Position(0, 0), []
    while now.epoch < (trainer.max_epochs or 0) and (
        trainer.max_steps < 0 or now.step < trainer.max_steps
    ):
        now = now._replace(stage=stages.stage(now.epoch))
        starts.append(now)
        now = Position(now.epoch + 1, now.step + epoch_steps(data, trainer, now.stage), now.stage)
    return [
        *starts,
        now if trainer.max_steps < 0 else now._replace(step=min(now.step, trainer.max_steps)),
    ]


def epoch_batches(data: "ImageDataModule", trainer: Trainer, examples: int) -> list[Tensor]:
    """Cut an epoch of so many examples into batches (without a loader: Lightning may still have to start the ranks)."""
    return shard(
        torch.arange(examples),
        data.batch_size,
        0,
        trainer.world_size,
        equal=True,
        drop_last=data.drop_last,
    )


def epoch_steps(data: "ImageDataModule", trainer: Trainer, stage: int) -> int:
    """Return the number of optimizer steps of an epoch in a stage."""
    batches = len(epoch_batches(data, trainer, data.course.stages.sizes[stage]))
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    return math.ceil(batches / trainer.accumulate_grad_batches)


def positions(
    data: "ImageDataModule", trainer: Trainer, times: Iterable[Time] = ()
) -> list[Position]:
    """Return every position of a run at which something can change, the data or at other times given, and its end."""
    starts = epoch_starts(data, trainer)
    named = [*times, *(time for _, window in data.course.appearance.windows for time in window)]
    steps = [
        int(time.number) for time in named if time.unit == "st" and time.number < starts[-1].step
    ]
    inside = [
        max(start for start in starts if start.step <= step)._replace(step=step) for step in steps
    ]
    return sorted({*starts, *inside})


def latest(data: "ImageDataModule", trainer: Trainer) -> Position:
    """Return the end of a run; where stages wait for the network, the furthest that it can get."""
    end = epoch_starts(data, trainer)[-1]
    if not (data.growth and data.growth.until):
        return end
    stage = len(data.course.stages.sizes) - 1
    steps = end.epoch * epoch_steps(data, trainer, stage)
    return Position(
        end.epoch, steps if trainer.max_steps < 0 else min(steps, trainer.max_steps), stage
    )


def changes(data: "ImageDataModule", path: Sequence[Position]) -> Iterator[tuple[Position, Shown]]:
    """Yield each position of a path at which what the network is shown changes, with what is in force from then on."""
    before = None
    for now in path[:-1]:
        shown = data.course.in_force(now)
        if shown != before:
            yield now, shown
        before = shown


def table(
    data: "ImageDataModule",
    trainer: Trainer,
    path: Sequence[Position],
    events: Mapping[Position, Sequence[str]],
) -> str:
    """Return a run's schedule as text.

    Args:
        data: the run's data.
        trainer: its trainer.
        path: the positions at which something can change, and the end.
        events: what else is done at some of them.
    """
    rows: list[tuple[str, ...]] = [
        (
            "epoch",
            "step",
            "stage",
            "examples",
            "steps/epoch",
            "deficits",
            "augmentation",
            "interventions",
        )
    ]
    waits, changed = bool(data.growth and data.growth.until), dict(changes(data, path))
    for now in path[:-1]:
        if now not in changed and now not in events:
            continue
        shown = data.course.in_force(now)
        numbers: tuple[object, ...] = (
            now.step,
            shown.stage,
            shown.examples,
            epoch_steps(data, trainer, shown.stage),
        )
        known = numbers if not (waits and now.epoch) else ("?",) * 4
        share = f" ({shown.augmented:g})" if 0 < shown.augmented < 1 else ""
        augmentation = f"{type(data.augmentation).__name__}{share}" if shown.augmented else "-"
        rows.append(
            (
                str(now.epoch),
                *map(str, known),
                ", ".join(shown.deficits) or "-",
                augmentation,
                ", ".join(events.get(now, [])),
            )
        )
    open_end = (
        data.growth is not None
        and data.growth.until is not None
        and not data.growth.until.to_the_cap
    )
    end = f"<={path[-1].epoch}" if open_end else str(path[-1].epoch)
    rows.append((end, "?" if waits else str(path[-1].step), "end", "", "", "", "", ""))
    if not events:
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *([growth_line(data.course.stages)] if data.growth else [])])


def growth_line(stages: Stages) -> str:
    """Return how the data grow, in words."""
    sizes, until = ", ".join(map(str, stages.sizes)), stages.growth and stages.growth.until
    line = f"{stages.growth!r}: {sizes} examples"
    if until:
        limit = f", or at most {until.at_most}" if until.at_most else ""
        line += f"; each stage lasts until an epoch's train/accuracy reaches {until.train_accuracy}{limit}"
        last = f"the last stage lasts {until.last}" if until.last else "the last stage too"
        end = f", and the run ends with it, at the latest after {stages.epochs} epochs (max_epochs)"
        line += (
            f"; the last stage lasts to max_epochs: {stages.epochs}"
            if until.to_the_cap
            else f"; {last}{end}"
        )
    return line
