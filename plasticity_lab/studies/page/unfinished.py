"""Runs of a study that have failed or are still to be trained, as its page shows them."""

from collections.abc import Sequence
from typing import NamedTuple

from plasticity_lab.studies.study_context import FAILED, StudyContext


class Failure(NamedTuple):
    """A segment that failed.

    Attributes:
        runs: the names of the runs that need it.
        line: the last line that it wrote.
        file: where all of its output is.
    """

    runs: list[str]
    line: str
    file: str


class Unfinished(NamedTuple):
    """What of a study is not done.

    Attributes:
        failures: segments that failed in the last call of `run`.
        waiting: names of the other runs without results.
    """

    failures: list[Failure]
    waiting: list[str]


def unfinished(work: StudyContext, finished: Sequence[int]) -> Unfinished:
    """Return what has failed and what is waiting.

    Args:
        work: the study.
        finished: numbers of the runs with results.
    """
    done = {*finished}
    missing = [number for number in range(len(work.study.runs)) if number not in done]
    failures: list[Failure] = []
    failed: set[int] = set()
    for state, output in sorted(work.failures().items()):
        needing = [number for number in missing if state in work.paths[number].states]
        if needing:
            failed.update(needing)
            names = [work.study.runs[number].name for number in needing]
            line = "".join(output.splitlines()[-1:])
            failures.append(Failure(names, line, f"{FAILED}/{state}.txt"))
    waiting = [work.study.runs[number].name for number in missing if number not in failed]
    return Unfinished(failures, waiting)
