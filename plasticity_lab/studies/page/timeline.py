"""What happens when in an arm, as plain values."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from plasticity_lab.studies import opened_record
from plasticity_lab.studies.arms import Arm
from plasticity_lab.studies.study_context import StudyContext

MOST_ARMS = 30
"""Arms whose timelines are drawn."""


class Span(NamedTuple):
    """Something that holds for a while.

    Attributes:
        start: its first epoch, with a fraction if it begins within one.
        stop: the end.
        text: what holds, where that is not said by the row.
        level: height of a value between the row's smallest, 0, and largest, 1; None of what has no
            height.
    """

    start: float
    stop: float
    text: str = ""
    level: float | None = None


class Row(NamedTuple):
    """What a part of a run does over time.

    Attributes:
        kind: `data`, `deficits`, `augmentation` or `interventions`.
        name: the part, with its arguments.
        spans: what holds when.
        marks: epochs in which it acts once.
        note: what is not in the picture.
    """

    kind: str
    name: str
    spans: list[Span]
    marks: list[float]
    note: str = ""


class Timeline(NamedTuple):
    """What happens when in an arm.

    Attributes:
        arm: its name.
        epochs: its length; 0 if it is not known.
        rows: its data, and all that acts on them and on the network.
        differs: how its config differs from that of its control, a line for each key.
        problem: why there is no picture, "" if there is one.
    """

    arm: str
    epochs: float
    rows: list[Row]
    differs: list[str]
    problem: str = ""


def known_timelines(work: StudyContext, listed: Sequence[Arm]) -> list[Timeline]:
    """Return the timelines of a study's first arms, which are kept as each has to be built."""
    kept = opened_record.derived(work.home, work.study.file, "timelines")
    if kept is not None and work.inputs is None:
        return [_from_plain(entry) for entry in kept]

    # Only here, as it imports torch and Lightning.
    from plasticity_lab.studies.page.timelines import timelines

    drawn = timelines(work, listed[:MOST_ARMS])
    opened_record.keep_derived(work.home, work.study.file, "timelines", drawn)
    return drawn


def _from_plain(entry: Sequence[Any]) -> Timeline:
    """Return a timeline from the lists that JSON makes of it."""
    arm, epochs, rows, differs, problem = entry
    drawn = [
        Row(kind, name, [Span(*span) for span in spans], marks, note)
        for kind, name, spans, marks, note in rows
    ]
    return Timeline(arm, epochs, drawn, differs, problem)
