"""A study's table and figure, from what is done so far."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from errors import UserError
from studies.agreement import agreements
from studies.censored import censored
from studies.figure import draw, draw_curves
from studies.measure import by_seed, check_metric, curves, difference, measured, read_over, written
from studies.work import Work

KEYS = {"metric", "over", "x", "hue", "control", "figure", "paper", "label"}
FIGURES = ("line", "bar", "curve")


class Settings(NamedTuple):
    """How a study is reported.

    Attributes:
        metric: a tag of its runs' logs.
        over: how its values over time become one: `last 5 epochs`, `last epoch`, `first`, `largest`, `at 10%`.
        x: the variable on the horizontal axis, and of the table's rows; by default the study's first.
        hue: a second variable, with a line or colour for each of its values.
        control: the value of `x` that the others are compared with, seed by seed.
        figure: `line` or `bar` over `x`; or `curve`, the metric over time, a line for each value of `x`.
        paper: the paper's numbers, by value of `x`; text stands in the table only.
        label: what stands at the horizontal axis.
    """

    metric: str = "val/accuracy"
    over: str = "last epoch"
    x: str = "arm"
    hue: str | None = None
    control: Any = None
    figure: str = "line"
    paper: dict[Any, Any] | None = None
    label: str | None = None


def settings(work: Work) -> Settings:
    """Read how a study is reported.

    Raises:
        UserError: for a key, variable or metric that there is not.
    """
    given = work.study.report
    if unknown := set(given) - KEYS:
        raise UserError(f"report: {sorted(unknown)[0]}: a report has no such key; it has {', '.join(sorted(KEYS))}")
    variables = work.study.runs[0].values
    chosen = Settings(**{"x": next(iter(variables)), **given})
    try:
        read_over(chosen.over)
    except UserError as error:
        raise UserError(f"report: {error}") from None
    for key, name in (("x", chosen.x), ("hue", chosen.hue)):
        if name is not None and name not in variables:
            raise UserError(f"report: {key}: {name}: is no variable of the study; it has {', '.join(variables)}")
    check_metric("report", chosen.metric, work.configs)
    named = Counter(tuple(run.values[name] for name in (chosen.hue, chosen.x, "seed") if name) for run in work.study.runs)
    (twice, count), *_ = named.most_common(1)
    if count > 1:
        others = ", ".join(name for name in variables if name not in (chosen.hue, chosen.x, "seed"))
        raise UserError(f"report: x: {chosen.x}: {count} runs are {', '.join(map(str, twice))}; set hue to one of {others}")
    if chosen.control is not None and chosen.control not in {run.values[chosen.x] for run in work.study.runs}:
        raise UserError(f"report: control: {chosen.control}: is no value of {chosen.x}")
    if chosen.figure not in FIGURES:
        raise UserError(f"report: figure: {chosen.figure}: write {', '.join(FIGURES)}")
    kinds = {isinstance(run.values[chosen.x], str) for run in work.study.runs}
    if chosen.figure == "line" and len(kinds) > 1:
        raise UserError(f"report: figure: line: {chosen.x} has numbers and texts; write bar")
    return chosen


def frame(work: Work, metric: str, over: str) -> pd.DataFrame:
    """Return one row for each finished run: its variables and `value`."""
    numbers = [number for number in range(len(work.study.runs)) if work.assembled(number)]
    values = [work.study.runs[number].values for number in numbers]
    return measured([work.folder(number) for number in numbers], values, metric, over)


def table(runs: pd.DataFrame, chosen: Settings) -> pd.DataFrame:
    """Return a row for each value of `hue` and `x`: runs, mean, standard deviation, and the paired difference to the control."""
    keys = [name for name in (chosen.hue, chosen.x) if name]
    rows = []
    for values, group in runs.groupby(keys, sort=False, dropna=False):
        named = dict(zip(keys, values, strict=True))
        row = {**named, "runs": len(group), "mean": group.value.mean(), "sd": group.value.std()}
        if chosen.control is not None:
            same = runs[runs[chosen.hue] == named[chosen.hue]] if chosen.hue else runs
            gap = difference(by_seed(group), by_seed(same[same[chosen.x] == chosen.control]))
            row |= {"difference": gap.mean, "low": gap.low, "high": gap.high}
        if chosen.paper:
            row["paper"] = chosen.paper.get(named[chosen.x])
        rows.append(row)
    return pd.DataFrame(rows)


def write_report(work: Work) -> Path:
    """Write table (CSV, Markdown) and figure (PNG, SVG) of what is done so far; return their folder.

    Raises:
        UserError: if nothing is.
    """
    chosen = settings(work)
    runs = frame(work, chosen.metric, chosen.over)
    if runs.empty:
        raise UserError(f"report: no run of {work.study.name} is done; train some: python study.py run {work.study.file}")
    folder = work.home / "report"
    folder.mkdir(exist_ok=True)
    shown = table(runs, chosen)
    shown.to_csv(folder / "table.csv", index=False)
    said = "\n\n".join(filter(None, [origin(work, len(runs)), agreements(work), censored(work, chosen.metric)]))
    (folder / "table.md").write_text(f"{markdown(shown, chosen.metric)}\n{said}\n")
    if chosen.figure == "curve":
        done = [number for number in range(len(work.study.runs)) if work.assembled(number)]
        values = [work.study.runs[number].values for number in done]
        draw_curves(curves([work.folder(number) for number in done], values, chosen.metric), chosen, folder)
    else:
        draw(runs, chosen, folder)
    return folder


def markdown(shown: pd.DataFrame, metric: str) -> str:
    """Return a table as text for Markdown, a metric's numbers rounded."""
    numbers = {"mean", "sd", "difference", "low", "high"}
    cells = [
        [_cell(value, metric if name in numbers else None) for name, value in zip(shown.columns, row, strict=True)]
        for row in shown.itertuples(index=False)
    ]
    rows = [list(shown.columns), ["---"] * len(shown.columns), *cells]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows) + "\n"


def origin(work: Work, done: int) -> str:
    """Say what a report comes from."""
    manifests = [work.folder(number) / "manifest.json" for number in range(len(work.study.runs))]
    sessions = [one for file in manifests if file.exists() for one in json.loads(file.read_text())["sessions"]]
    ends = [work.paths[number].states[-1] for number in range(len(work.study.runs)) if work.finished(number)]
    seconds = sum(work.store.done(state)["seconds"] for state in {state for end in ends for state in work.store.history(end)})
    commits = sorted({(one["git"] or {}).get("commit", "unknown")[:7] for one in sessions})
    changed = any((one["git"] or {}).get("uncommitted") for one in sessions)
    return (
        f"{done} of {len(work.study.runs)} runs of {work.study.file.name}, seeds {_seeds(work)}; commit {', '.join(commits)}"
        f"{' with uncommitted changes' if changed else ''}; {', '.join(sorted({one['device'] for one in sessions}))}, "
        f"{work.threads} thread{'s' * (work.threads > 1)} each; {seconds / 60:.0f} minutes of training"
    )


def _seeds(work: Work) -> str:
    return ", ".join(map(str, sorted({run.values["seed"] for run in work.study.runs})))


def _cell(value: Any, metric: str | None) -> str:
    if isinstance(value, float):
        return written(value, metric) if metric else f"{value:g}"
    return "" if value is None else str(value)
