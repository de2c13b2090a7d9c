"""How a study is reported."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.studies.metrics import check_metric, read_over
from plasticity_lab.studies.study_context import StudyContext

KEYS = ("metric", "over", "x", "hue", "control", "figure", "paper", "label")
FIGURES = ("line", "bar", "curve")
NO_CONTROL = object()


class Settings(NamedTuple):
    """How a study is reported.

    Attributes:
        metric: a tag of its runs' logs.
        over: how its values over time become one: `last 5 epochs`, `last epoch`, `first`,
            `largest`, `at 10%`.
        x: the variable on the horizontal axis, and of the table's rows; by default the study's
            first.
        hue: a second variable, with a line or colour for each of its values.
        control: the value of `x` that the others are compared with, seed by seed; it may be null.
            None by default.
        figure: `line` or `bar` over `x`; or `curve`, the metric over time, a line for each value of
            `x`. By default a line, or bars where values of `x` are not all numbers.
        paper: the paper's numbers, by value of `x`; text stands in the table only.
        label: what stands at the horizontal axis.
    """

    metric: str = "val/accuracy"
    over: str = "last epoch"
    x: str = "arm"
    hue: str | None = None
    control: Any = NO_CONTROL
    figure: str = "line"
    paper: dict[Any, Any] | None = None
    label: str | None = None


def settings(work: StudyContext) -> Settings:
    """Read how a study is reported.

    Raises:
        UserError: for a key, variable or metric that there is not.
    """
    report, runs = work.study.report, work.study.runs
    if unknown := [key for key in report if key not in KEYS]:
        raise UserError(
            "report",
            value=unknown[0],
            problem="a report has no such key",
            fix=f"it has {', '.join(KEYS)}",
        )
    variables = runs[0].values
    chosen = Settings(**{"x": next(iter(variables)), **report})
    read_over(chosen.over, "report: over")
    for key, name in (("x", chosen.x), ("hue", chosen.hue)):
        if name is not None and name not in variables:
            raise UserError(
                f"report: {key}",
                value=name,
                problem="is no variable of the study",
                fix=f"it has {', '.join(variables)}",
            )
    check_metric("report: metric", chosen.metric, work.opened.tags)
    check_length("report: over", chosen.over, work, range(len(runs)))

    # Each row of the table is one arm.
    names = [name for name in (chosen.hue, chosen.x, "seed") if name]
    counts = Counter(tuple(run.values[name] for name in names) for run in runs)
    (twice, count), *_ = counts.most_common(1)
    if count > 1:
        variables_left = ", ".join(name for name in variables if name not in names)
        raise UserError(
            "report: x",
            value=chosen.x,
            problem=f"{count} runs are {', '.join(map(str, twice))}",
            fix=f"set hue to one of {variables_left}",
        )
    values = [run.values[chosen.x] for run in runs]
    if chosen.control is not NO_CONTROL and chosen.control not in values:
        raise UserError(
            "report: control", value=shown(chosen.control), problem=f"is no value of {chosen.x}"
        )
    if chosen.figure not in FIGURES:
        raise UserError(
            "report: figure", value=chosen.figure, fix=f"set one of {', '.join(FIGURES)}"
        )

    # Lines need an order.
    numbers = all(isinstance(value, int | float) for value in values)
    texts = all(isinstance(value, str) for value in values)
    if "figure" not in report and not numbers:
        chosen = chosen._replace(figure="bar")
    if chosen.figure == "line" and not numbers and not texts:
        raise UserError(
            "report: figure",
            value="line",
            problem=f"{chosen.x} has numbers and other values",
            fix="set bar",
        )
    return chosen


def check_length(key: str, over: str, work: StudyContext, numbers: Sequence[int]) -> None:
    """Raise UserError for a span of `read_over` that is longer than a run.

    Arms would not be compared alike over it.

    Args:
        key: what the error names.
        over: the span.
        work: the study.
        numbers: of its runs.
    """
    match = re.fullmatch(r"(?:first|last) ([1-9]\d*) epochs", over)
    if not match:
        return
    for number in numbers:
        epochs = work.opened.config_of_arm(number)["trainer"]["max_epochs"]
        if epochs is not None and 0 <= epochs < int(match[1]):
            raise UserError(
                key,
                value=over,
                problem=f"{work.study.runs[number].name} has {epochs} epochs",
                fix="set fewer",
            )


def shown(value: Any) -> Any:
    """Return a variable's value as tables and figures show it: null as `none`."""
    return "none" if value is None else value
