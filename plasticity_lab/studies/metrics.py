"""Numbers of a study's runs, from what they have logged."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from plasticity_lab.errors import UserError
from plasticity_lab.studies.scalars import Points


def read_over(text: Any, key: str = "over") -> Callable[[Points], float]:
    """Return how a metric's values over time become one.

    `last 5 epochs` is the mean of the last five values and `first 5 epochs` of the first five,
    `last epoch` the last one, `first` and `largest` what they say, and `at 10%` the last one within
    that share of the steps.

    Args:
        text: how.
        key: what an error names.

    Raises:
        UserError: for anything else.
    """
    if match := re.fullmatch(r"last (?:([1-9]\d*) epochs|epoch)", str(text)):
        count = int(match[1] or 1)
        return lambda points: sum(value for _, value in points[-count:]) / len(points[-count:])
    if match := re.fullmatch(r"first ([1-9]\d*) epochs", str(text)):
        early = int(match[1])
        return lambda points: sum(value for _, value in points[:early]) / len(points[:early])
    if match := re.fullmatch(r"at (\d\d?|100)%", str(text)):
        share = int(match[1])
        return lambda points: _at(points, share)
    if text == "first":
        return lambda points: points[0][1]
    if text == "largest":
        return lambda points: max(value for _, value in points)
    raise UserError(
        key,
        value=text,
        fix="set 'last epoch', 'last 5 epochs', 'first 5 epochs', 'first', 'largest' or 'at 10%'",
    )


def _at(points: Points, share: int) -> float:
    """Return the last value within a share of the steps, in percent; the first one at least."""
    last_step = points[-1][0] * share
    values = [value for step, value in points if step * 100 <= last_step or step == points[0][0]]
    return values[-1]


def scale(metric: str) -> int:
    """Return what a metric is multiplied by to be shown: accuracies are in percent."""
    *_, group, name = ("", *metric.split("/"))
    accuracy = name.endswith("accuracy") or group in ("accuracy", "stage_accuracy")
    return 100 if accuracy else 1


def written(value: float, metric: str, sign: str = "") -> str:
    """Format a value of a metric: percentages with two decimals, others with three digits.

    Large values as whole numbers.
    """
    if scale(metric) == 100:
        return f"{value:{sign}.2f}"
    return f"{value:{sign},.0f}" if abs(value) >= 100 else f"{value:{sign}#.3g}"


def check_metric(key: str, metric: Any, tags: Sequence[Sequence[str] | None]) -> None:
    """Raise UserError for a metric that no run logs, naming its key and the tags there are.

    Args:
        key: what the error names.
        metric: the metric.
        tags: of each arm, what its runs log; see `logged_metrics`.
    """
    if None in tags and isinstance(metric, str):
        return
    all_tags = sorted({tag for arm in tags for tag in arm or ()})
    if not isinstance(metric, str) or not any(_stands_for(tag, metric) for tag in all_tags):
        raise UserError(
            key,
            value=metric,
            problem="no run logs it",
            fix=f"they log {', '.join(all_tags)}",
        )


def _stands_for(tag: str, metric: str) -> bool:
    """Whether a tag is the metric, or becomes it with something in place of each `<…>`."""
    parts = re.split(r"<[^>]*>", tag)
    return bool(re.fullmatch("[^/]+".join(map(re.escape, parts)), metric))
