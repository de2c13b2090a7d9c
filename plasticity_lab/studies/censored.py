"""Finished runs that lack a value, or that were cut off."""

from collections.abc import Sequence

from plasticity_lab.studies.scalars import read
from plasticity_lab.studies.study_context import StudyContext


def censored(work: StudyContext, metric: str) -> str:
    """Name the finished runs that lack a value of a metric, or were cut off.

    Cut off are those that ended before their last data stage did.
    """
    finished = [number for number in range(len(work.study.runs)) if work.is_materialised(number)]
    missing = [number for number in finished if not read(work.folder(number), metric)]
    ends = {number: work.paths[number].states[-1] for number in finished}
    cut_off = [
        number
        for number, end in ends.items()
        if work.store.has_logs(end) and work.store.metadata(end).get("cut_off")
    ]
    parts = [
        _named(work, missing, f"have no value of {metric}, and are not in the table"),
        _named(work, cut_off, "reached max_epochs before their last data stage had ended"),
    ]
    return " ".join(filter(None, parts))


def _named(work: StudyContext, numbers: Sequence[int], statement: str) -> str:
    names = "; ".join(work.study.runs[number].name for number in numbers)
    return f"Of the finished runs {len(numbers)} {statement}: {names}." if numbers else ""
