"""A study's table, figure and page, from what is done so far."""

from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_lab.command_line import called
from plasticity_lab.errors import UserError
from plasticity_lab.studies import claim_table
from plasticity_lab.studies.censored import censored
from plasticity_lab.studies.curve_figure import draw_curves
from plasticity_lab.studies.figure import draw
from plasticity_lab.studies.forgetting_correlation import forgetting_correlations
from plasticity_lab.studies.frames import by_seed, curves, measured
from plasticity_lab.studies.metrics import written
from plasticity_lab.studies.origin import origin
from plasticity_lab.studies.page.page import ShownTable, write_page
from plasticity_lab.studies.phases import described
from plasticity_lab.studies.scalars import tags
from plasticity_lab.studies.settings import NO_CONTROL, Settings, settings, shown
from plasticity_lab.studies.statistics import interval
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.verdicts import outcomes
from plasticity_lab.studies.wording import NOTE, axis_words, metric_words, note


def frame(work: StudyContext, metric: str, over: str) -> pd.DataFrame:
    """Return one row for each finished run that has a metric: its variables and `value`."""
    numbers = [number for number in range(len(work.study.runs)) if work.is_materialised(number)]
    values = [variables(work, number) for number in numbers]
    return measured([work.folder(number) for number in numbers], values, metric, over)


def variables(work: StudyContext, number: int) -> dict[str, Any]:
    """Return the variables of a run as tables and figures show them."""
    return {name: shown(value) for name, value in work.study.runs[number].values.items()}


def table(runs: pd.DataFrame, chosen: Settings) -> pd.DataFrame:
    """Return a row for each value of `hue` and `x`.

    Runs, mean, standard deviation, and the paired difference to the control.
    """
    keys = [name for name in (chosen.hue, chosen.x) if name]
    papers = {shown(key): value for key, value in (chosen.paper or {}).items()}
    rows = []
    for values, group in runs.groupby(keys, sort=False):
        place = dict(zip(keys, values, strict=True))
        row = {**place, "runs": len(group), "mean": group.value.mean(), "sd": group.value.std()}
        if chosen.control is not NO_CONTROL:
            alike = runs[runs[chosen.hue] == place[chosen.hue]] if chosen.hue else runs
            control = by_seed(alike[alike[chosen.x] == shown(chosen.control)])
            differences = [
                value - control[seed] for seed, value in by_seed(group).items() if seed in control
            ]
            gap = interval(differences)
            row |= {"difference": gap.mean, "low": gap.low, "high": gap.high}
        if papers:
            row["paper"] = papers.get(place[chosen.x])
        rows.append(row)
    return pd.DataFrame(rows)


def write_report(work: StudyContext, reload_after: int = 0) -> Path:
    """Write table, figure, claims and page of the finished runs; return their folder.

    The table as CSV and Markdown, the figure as PNG, SVG and PDF, the claims as Markdown, and all
    of it as a page of HTML.

    Raises:
        UserError: if no run is finished, or none has logged the metric.
    """
    chosen = settings(work)
    finished = [number for number in range(len(work.study.runs)) if work.is_materialised(number)]
    folders = [work.folder(number) for number in finished]
    if not finished:
        raise UserError(
            "report",
            problem=f"no run of {work.study.name} is done",
            fix=f"train some: {called('study.py')} run {work.study.file}",
        )
    runs = frame(work, chosen.metric, chosen.over)
    if runs.empty:
        logged = sorted({tag for folder in folders for tag in tags(folder)})
        raise UserError(
            "report: metric",
            value=chosen.metric,
            problem=f"no finished run of {work.study.name} has logged it",
            fix=f"they have {', '.join(logged)}",
        )
    report = work.home / "report"
    report.mkdir(exist_ok=True)

    # The table.
    rows = table(runs, chosen)
    rows.to_csv(report / "table.csv", index=False)
    caption = f"{metric_words(chosen.metric, work.opened.arms)}, {chosen.over}"
    tag = f"{chosen.metric}; {NOTE}" if note(chosen.metric, work.opened.arms) else chosen.metric
    correlations, without = forgetting_correlations(work), censored(work, chosen.metric)
    paragraphs = [
        f"{caption} ({tag})",
        markdown(rows, chosen.metric),
        described(work.study),
        origin(work, len(runs)),
        correlations,
        without,
    ]
    (report / "table.md").write_text("\n\n".join(filter(None, paragraphs)) + "\n")

    # The claims.
    verdicts = outcomes(work)
    if verdicts:
        footer = '"p, Holm" is adjusted for the directional claims of this study.'
        claim_rows = [claim_table.row(work, outcome) for outcome in verdicts]
        claims = claim_table.table(claim_rows, [outcome.adjusted for outcome in verdicts])
        (report / "claims.md").write_text(f"{claims}\n{footer}\n")

    # The figure.
    if chosen.figure == "curve":
        values = [variables(work, number) for number in finished]
        points = curves(folders, values, chosen.metric)
        draw_curves(points, chosen, axis_words(chosen.metric, None, work.opened.arms), report)
    else:
        draw(runs, chosen, axis_words(chosen.metric, chosen.over, work.opened.arms), report)

    # The page.
    texts = cells(rows, chosen.metric)
    notes = " ".join(filter(None, [described(work.study), correlations]))
    shown_table = ShownTable(f"{caption} ({tag})", list(rows.columns), texts, notes, without)
    write_page(work, chosen, shown_table, verdicts, report, reload_after)
    return report


def markdown(rows: pd.DataFrame, metric: str) -> str:
    """Return a table as text for Markdown, a metric's numbers rounded."""
    columns = list(rows.columns)
    lines = [columns, ["---"] * len(columns), *cells(rows, metric)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def cells(rows: pd.DataFrame, metric: str) -> list[list[str]]:
    """Return the cells of a table as text, row by row, a metric's numbers rounded."""
    columns = list(rows.columns)
    return [
        [_cell(name, value, metric) for name, value in zip(columns, row, strict=True)]
        for row in rows.itertuples(index=False)
    ]


def _cell(column: str, value: Any, metric: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if not isfinite(value):
        return "-"
    is_metric = column in ("mean", "sd", "difference", "low", "high")
    return written(value, metric) if is_metric else f"{value:g}"
