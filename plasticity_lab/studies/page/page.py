"""Writes a study's page: one file that shows everything, opened from disk without a network."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from plasticity_lab.files import write_atomically
from plasticity_lab.studies.arms import Arm, arms
from plasticity_lab.studies.colours import DASHES, Style, styles
from plasticity_lab.studies.page.claim_cards import SIGNS, cards
from plasticity_lab.studies.page.curves import curves
from plasticity_lab.studies.page.provenance import cost, provenance
from plasticity_lab.studies.page.timeline import MOST_ARMS, Timeline, known_timelines
from plasticity_lab.studies.page.unfinished import unfinished
from plasticity_lab.studies.settings import NO_CONTROL, Settings, shown
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.verdicts import Outcome

FILE = "index.html"
_HERE = Path(__file__).parent
_SCRIPTS = ("svg", "plot", "curves", "pointer", "download", "tables", "start")


class ShownTable(NamedTuple):
    """The table of a study as its page shows it.

    Attributes:
        caption: what the values are.
        columns: names of the columns.
        rows: of each row the texts of its cells.
        note: what is said below it.
        without: which finished runs are not in it, and why.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    note: str
    without: str


def write_page(
    work: StudyContext,
    chosen: Settings,
    table: ShownTable,
    verdicts: Sequence[Outcome],
    report: Path,
    reload_after: int = 0,
) -> Path:
    """Write the page of a study beside its table and figure; return its file.

    Args:
        work: the study, of which some runs are finished.
        chosen: how it is reported.
        table: its table.
        verdicts: what came out of its claims.
        report: the folder, in which `figure.svg` is.
        reload_after: seconds after which a browser reads the page again; 0 is never.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    template = environment.get_template("page.html")
    shown = content(work, chosen, table, verdicts, report)
    page = template.render({**shown, "reload_after": reload_after})
    with write_atomically(report / FILE) as unfinished_file:
        unfinished_file.write_text(page)
    return report / FILE


def content(
    work: StudyContext,
    chosen: Settings,
    table: ShownTable,
    verdicts: Sequence[Outcome],
    report: Path,
) -> dict[str, Any]:
    """Return everything that the page shows, by the names that `page.html` uses."""
    listed = arms(work)
    finished = [number for number in range(len(work.study.runs)) if work.is_materialised(number)]
    drawn = known_timelines(work, listed)
    question, text = _question(work.study.file.read_text())
    verdict_names = [outcome.verdict for outcome in verdicts]
    figure = base64.b64encode((report / "figure.svg").read_bytes()).decode()
    data = {
        "metric": chosen.metric,
        "arms": _arms(work, chosen, listed),
        "dashes": chosen.hue,
        **curves(work, listed, _runs(work, listed, finished)),
    }
    return {
        "name": work.study.name,
        "file": work.study.file.name,
        "question": question,
        "yaml": text,
        "runs": len(work.study.runs),
        "finished": len(finished),
        "seeds": len({run.values["seed"] for run in work.study.runs}),
        "arms": listed,
        "styles": data["arms"],
        "timelines": drawn,
        "more_arms": len(listed) - len(drawn),
        "most_arms": MOST_ARMS,
        "epochs": max((timeline.epochs for timeline in drawn), default=0),
        "ticks": _ticks(drawn),
        "table": table,
        "figure": figure,
        "claims": cards(work, verdicts),
        "verdicts": {name: verdict_names.count(name) for name in SIGNS if name in verdict_names},
        "signs": SIGNS,
        "unfinished": unfinished(work, finished),
        "provenance": provenance(work, finished),
        "cost": cost(work),
        "data": data,
        "css": Markup((_HERE / "page.css").read_text()),
        "script": Markup("\n".join((_HERE / f"{name}.js").read_text() for name in _SCRIPTS)),
    }


def _runs(work: StudyContext, listed: Sequence[Arm], finished: Sequence[int]) -> list[list[int]]:
    """Return the numbers of the finished runs of each arm."""

    def variables(number: int) -> str:
        return str({**work.study.runs[number].values, "seed": None})

    by_arm: dict[str, list[int]] = {variables(arm.run): [] for arm in listed}
    for number in finished:
        by_arm[variables(number)].append(number)
    return list(by_arm.values())


def _arms(work: StudyContext, chosen: Settings, listed: Sequence[Arm]) -> list[dict[str, Any]]:
    """Return name and style of each arm: a colour for each `x`, dashes for each `hue`."""
    values = [work.study.runs[arm.run].values for arm in listed]
    across = [shown(value[chosen.x]) for value in values]
    hues = [value[chosen.hue] if chosen.hue else None for value in values]
    control = None if chosen.control is NO_CONTROL else shown(chosen.control)
    distinct = list(dict.fromkeys(across))
    by_value: dict[Any, Style] = dict(zip(distinct, styles(distinct, control), strict=True))
    drawn = []
    for arm, place, hue in zip(listed, across, hues, strict=True):
        style = by_value[place]
        dash = DASHES[list(dict.fromkeys(hues)).index(hue) % len(DASHES)]
        drawn.append(
            {
                "name": arm.name,
                "colour": style.colour,
                "dash": dash if chosen.hue else style.dash,
                "marker": style.marker,
                "control": place == control,
            }
        )
    return drawn


def _question(text: str) -> tuple[str, str]:
    """Return the comment at the head of a study's file as a paragraph, and the whole file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return " ".join(lines), text


def _ticks(drawn: Sequence[Timeline]) -> list[int]:
    """Return the epochs that are named below timelines: at most seven, in round numbers."""
    longest = max((timeline.epochs for timeline in drawn), default=0)
    step = next(
        step
        for power in range(10)
        for step in (10**power, 2 * 10**power, 5 * 10**power)
        if longest / step <= 6
    )
    return list(range(0, int(longest) + 1, step))
