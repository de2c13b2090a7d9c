"""A run's schedule as text, known before it runs: what changes when."""

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Trainer

from callbacks.clock import run_schedule
from datamodules import ImageDataModule
from datamodules.epoch_plan import EpochPlan
from datamodules.growth.stage_schedule import StageSchedule
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import RunSchedule, in_words, steps
from plasticity_lab.timing import Every, Position

TITLES = ("epoch", "step", "stage", "examples", "steps/epoch", "deficits", "augmentation")
MOST_STAGES = 5
"""Stages that are shown one by one where they recur."""


def timeline(trainer: Trainer) -> str:
    """Return the run's schedule as text: a row for each change, and a line for what recurs.

    Raises:
        UserError: for another data module than `ImageDataModule`.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
    if not isinstance(data, ImageDataModule):
        raise UserError(
            "print_timeline",
            problem=f"{type(data).__name__} has none",
            fix="use datamodules.ImageDataModule",
        )
    schedule, plan = run_schedule(trainer), data.plan(trainer)
    parts = [part for part in schedule.parts if part.changes_run]
    stages_recur = data.growth is not None and data.growth.every is not None
    recurring = {
        id(part): time
        for part in parts
        for time in part.times()
        if isinstance(time, Every) or (stages_recur and time.unit == "stages")
    }
    once = [part for part in parts if id(part) not in recurring]
    lines = table(plan, data, RunSchedule(once, schedule.epochs))
    lines += [f"{part!r}: every {recurring[id(part)]}" for part in parts if id(part) in recurring]
    lines += [f"{part!r}: in every stage" for part in data.transforms.of_stages]
    if data.growth:
        lines.append(growth_line(data.stages, plan.max_epochs))
    return "\n".join(lines)


def table(plan: EpochPlan, data: ImageDataModule, schedule: RunSchedule) -> list[str]:
    """Return a row for each position at which something changes, and one for the end."""
    path = plan.positions(schedule.times)
    changes: dict[Position, list[str]] = {}
    for change in schedule.changes(path):
        if change.part not in data.timed_parts():
            changes.setdefault(change.now, []).append(str(change))

    rows: list[tuple[str, ...]] = [(*TITLES, "interventions")]
    latest: tuple[Any, ...] = ()
    shows = RunSchedule(data.timed_parts(), schedule.epochs)
    recurs = plan.stages.growth is not None and plan.stages.growth.every is not None
    for before, now in steps(path):
        doing = shows.doing(before, now)
        deficits = [in_words(*one) for one in doing if one[0] in data.transforms.deficits]
        shown = ", ".join(deficits) or "-", _augmentation(data, data.transforms.augmented(doing))
        # Of stages that recur the first few are enough.
        told = now.stage if now.stage < MOST_STAGES or not recurs else -1
        if (told, *shown) != latest or now in changes:
            rows.append((*_place(plan, now), *shown, ", ".join(changes.get(now, []))))
        latest = told, *shown
    rows.append((*_end(plan, path[-1]), "end", "", "", "", "", ""))
    if not changes:
        rows = [row[:-1] for row in rows]

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _sizes(sizes: Sequence[int]) -> str:
    """Return the numbers of examples of stages, in words where there are many of them."""
    if len(sizes) <= MOST_STAGES:
        return ", ".join(map(str, sizes))
    least, most = min(sizes), max(sizes)
    each = f"{least}" if least == most else f"{least} to {most}"
    return f"{len(sizes)} stages of {each}"


def _augmentation(data: ImageDataModule, share: float) -> str:
    name = type(data.transforms.augmentation).__name__ if share else "-"
    return f"{name} ({share:g})" if 0 < share < 1 else name


def _place(plan: EpochPlan, now: Position) -> tuple[str, ...]:
    numbers = (now.step, now.stage, plan.stages.size(now.stage), plan.steps(now.stage))
    # Where stages wait for the network, only the first epoch's are known.
    known = ("?",) * 4 if plan.waits and now.epoch else tuple(map(str, numbers))
    return (str(now.epoch), *known)


def _end(plan: EpochPlan, end: Position) -> tuple[str, str]:
    growth = plan.stages.growth
    epoch = f"<={end.epoch}" if growth and growth.may_end_run else str(end.epoch)
    return epoch, "?" if plan.waits else str(end.step)


def growth_line(stages: StageSchedule, epochs: int) -> str:
    """Return how the data grow, in words."""
    sizes, until = _sizes(stages.sizes(epochs)), stages.growth and stages.growth.until
    line = f"{stages.growth!r}: {sizes} examples"
    if until:
        limit = f", or at most {until.at_most}" if until.at_most else ""
        line += (
            f"; each stage lasts until an epoch's train/accuracy reaches "
            f"{until.train_accuracy}{limit}"
        )
        last = f"the last stage lasts {until.last}" if until.last else "the last stage too"
        end = f", and the run ends with it, at the latest after {epochs} epochs (max_epochs)"
        line += (
            f"; the last stage lasts to max_epochs: {epochs}"
            if until.to_the_cap
            else f"; {last}{end}"
        )
    return line
