"""What happens when in each arm of a study, known without training, as its page draws it."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from callbacks.clock import run_schedule
from datamodules import ImageDataModule
from datamodules.epoch_plan import EpochPlan
from plasticity_lab.errors import UserError
from plasticity_lab.runs.run import Run
from plasticity_lab.runs.timeline import growth_line
from plasticity_lab.schedule import Answer, RunSchedule, Timed, steps
from plasticity_lab.studies.arms import Arm
from plasticity_lab.studies.differences import differences
from plasticity_lab.studies.dry_run import build
from plasticity_lab.studies.page.timeline import Row, Span, Timeline
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.timing import Every, Position


def timelines(work: StudyContext, listed: Sequence[Arm]) -> list[Timeline]:
    """Return the timelines of arms of a study; nothing is trained or fetched."""
    arms = [_without_download(arm) for arm in work.opened.arms]
    offline = work._replace(opened=work.opened._replace(arms=arms))
    return [_timeline(offline, arm) for arm in listed]


def _timeline(work: StudyContext, arm: Arm) -> Timeline:
    differs: list[str] = []
    if arm.control is not None:
        old, new = (work.opened.config_of_arm(number) for number in (arm.control, arm.run))
        differs = list(differences(old, new))
    try:
        run = build(work, arm.run)
    except UserError as error:
        return Timeline(arm.name, 0, [], differs, str(error))
    if not isinstance(run.data, ImageDataModule):
        problem = f"{type(run.data).__name__} has no timeline."
        return Timeline(arm.name, 0, [], differs, problem)
    return Timeline(arm.name, run.trainer.max_epochs or 0, rows(run, run.data), differs)


def _without_download(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config that only reads data that are on this machine."""
    data = config["data"].get("init_args") or {}
    dataset = data.get("dataset") or {}
    arguments = dataset.get("init_args") or {}
    if not arguments.get("download"):
        return config
    dataset = {**dataset, "init_args": {**arguments, "download": False}}
    data = {**data, "dataset": dataset}
    return {**config, "data": {**config["data"], "init_args": data}}


def rows(run: Run, data: ImageDataModule) -> list[Row]:
    """Return what happens when in a run: its data first, then what acts on them, and on it."""
    schedule, plan = run_schedule(run.trainer), data.plan(run.trainer)
    parts = [part for part in schedule.parts if part.changes_run and part is not data.growth]
    recurring = {
        id(part): time for part in parts for time in part.times() if isinstance(time, Every)
    }

    # The positions at which something can change, in epochs.
    once = RunSchedule([part for part in parts if id(part) not in recurring], schedule.epochs)
    path = plan.positions(once.times)
    starts = plan.starts()
    epochs = np.interp([now.step for now in path], [now.step for now in starts], range(len(starts)))
    places = dict(zip(path, epochs.tolist(), strict=True))

    drawn = [_data_row(plan, data)]
    for part in parts:
        note = f"every {recurring[id(part)]}" if id(part) in recurring else ""
        if plan.waits and any(not time.known(stages_known=False) for time in part.times()):
            note = "; ".join(f"{word} {value}" for word, value in part.times_given.items())
        if note:
            drawn.append(Row(part.section, repr(part), [], [], note))
        else:
            drawn.append(_row(part, once, path, places))
    return drawn


def _data_row(plan: EpochPlan, data: ImageDataModule) -> Row:
    """Return the stages of the data, each with its number of examples."""
    starts = plan.starts()
    sizes = plan.stages.sizes(plan.max_epochs)
    name = repr(data.growth) if data.growth else f"{sizes[0]:,} examples"
    if plan.waits:
        span = Span(0, starts[-1].epoch, "stages begin when the network is ready")
        return Row("data", name, [span], [], growth_line(plan.stages, plan.max_epochs))
    spans: list[Span] = []
    for stage, size in enumerate(sizes):
        epochs = [now.epoch for now in starts[:-1] if now.stage == stage]
        if epochs:
            spans.append(Span(epochs[0], epochs[-1] + 1, f"{size:,}", size / sizes[-1]))
    return Row("data", name, spans, [])


def _row(
    part: Timed, schedule: RunSchedule, path: Sequence[Position], places: dict[Position, float]
) -> Row:
    """Return what a part does over time: what it holds as spans, what it does once as marks."""
    held: list[tuple[float, float, Answer]] = []
    marks: list[float] = []
    for start, stop, answer, lasts in _answers(part, schedule, path, places):
        if not lasts:
            marks.append(start)
        elif held and held[-1][1:] == (start, answer):
            held[-1] = (held[-1][0], stop, answer)
        else:
            held.append((start, stop, answer))

    # Values have a height between the smallest and the largest, 0 included.
    values = [float(answer) for *_, answer in held if _is_value(answer)]
    low, high = min([0.0, *values]), max([0.0, *values])
    spans = []
    for start, stop, answer in held:
        level = (float(answer) - low) / (high - low or 1.0) if _is_value(answer) else None
        spans.append(Span(start, stop, "" if answer is True else str(answer), level))
    return Row(part.section, repr(part), spans, marks)


def _answers(
    part: Timed, schedule: RunSchedule, path: Sequence[Position], places: dict[Position, float]
) -> Iterator[tuple[float, float, Answer, bool]]:
    """Yield what a part does, from where to where, and whether it lasts beyond its first batch."""
    for (before, now), following in zip(steps(path), path[1:], strict=True):
        answer = schedule.active(part, before, now)
        if answer is not None:
            lasts = schedule.active(part, now, now) is not None
            yield places[now], places[following], answer, lasts


def _is_value(answer: Answer) -> TypeGuard[float]:
    return isinstance(answer, int | float) and not isinstance(answer, bool)
