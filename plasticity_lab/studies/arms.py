"""The arms of a study, and what each is compared with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.study_run import Run, shown


class Arm(NamedTuple):
    """The runs of a study that differ by their seed only.

    Attributes:
        name: its variables and their values.
        run: number of its first run.
        control: number of the run that it is compared with; None for the control itself.
    """

    name: str
    run: int
    control: int | None


def arms(work: StudyContext) -> list[Arm]:
    """Return the arms of a study, each with its control.

    The control is the arm with the report's `control` as its value of `x` and otherwise the same
    variables, or else the first one with that value; without a `control`, the first arm of all.
    """
    report, runs = work.study.report, work.study.runs
    first: dict[str, int] = {}
    for number, run in enumerate(runs):
        first.setdefault(_name(run), number)

    # The arms that have the control's value of `x`.
    across = report.get("x", next(iter(runs[0].values)))
    controls: list[int] = []
    if "control" in report:
        value = {across: report["control"]}
        controls = [number for number in first.values() if _is(runs[number], value)]

    listed = []
    for name, number in first.items():
        control_values = {**_variables(runs[number]), across: report.get("control")}
        alike = [control for control in controls if _is(runs[control], control_values)]
        control = [*alike, *controls, 0][0]
        listed.append(Arm(name, number, None if control == number else control))
    return listed


def _variables(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.values.items() if key != "seed"}


def _name(run: Run) -> str:
    parts = [
        shown(value) if key == "arm" else f"{key}={shown(value)}"
        for key, value in _variables(run).items()
    ]
    return ",".join(parts) or "all runs"


def _is(run: Run, values: Mapping[str, Any]) -> bool:
    return all(run.values.get(key) == value for key, value in values.items())
