"""Numbers of a study's runs, from what they have logged."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plasticity_lab.errors import UserError
from plasticity_lab.studies.scalars import Points, epoch_ends, read


def read_over(text: Any, key: str = "over") -> Callable[[Points, Sequence[int]], float]:
    """Return how a metric's values over time become one, from them and the steps of epochs' ends.

    `last 5 epochs` is the mean of the values in the last five epochs, of which there is one if the
    metric is measured every fifth, and `first 5 epochs` of those in the first five; with none in
    them, it is the nearest. `last epoch` is the last value, `first` and `largest` what they say,
    and `at 10%` the last one within that share of the steps. Where it is not known where epochs
    end, each holds one value.

    Args:
        text: how.
        key: what an error names.

    Raises:
        UserError: for anything else.
    """
    if match := re.fullmatch(r"last (?:([1-9]\d*) epochs|epoch)", str(text)):
        count = int(match[1] or 1)
        return lambda points, ends: _mean(_last(points, ends, count))
    if match := re.fullmatch(r"first ([1-9]\d*) epochs", str(text)):
        early = int(match[1])
        return lambda points, ends: _mean(_first(points, ends, early))
    if match := re.fullmatch(r"at (\d\d?|100)%", str(text)):
        share = int(match[1])
        return lambda points, ends: _at(points, share)
    if text == "first":
        return lambda points, ends: points[0][1]
    if text == "largest":
        return lambda points, ends: max(value for _, value in points)
    raise UserError(
        key,
        value=text,
        fix="set 'last epoch', 'last 5 epochs', 'first 5 epochs', 'first', 'largest' or 'at 10%'",
    )


def summary(folder: Path, metric: str, over: str) -> float | None:
    """Return a metric of a finished run as one number; None if it was never logged.

    Shares (accuracies) are in percent.

    Args:
        folder: of the run.
        metric: its tag.
        over: how its values over time become one; see `read_over`.
    """
    points = read(folder, metric)
    return scale(metric) * read_over(over)(points, epoch_ends(folder)) if points else None


def _last(points: Points, ends: Sequence[int], count: int) -> Points:
    """Return the values in the last epochs; the last one at least."""
    if not ends:
        return points[-count:]
    begin = ends[-count - 1] if len(ends) > count else -1
    return [point for point in points if point[0] > begin] or points[-1:]


def _first(points: Points, ends: Sequence[int], count: int) -> Points:
    """Return the values in the first epochs; the first one at least."""
    if not ends:
        return points[:count]
    end = ends[min(count, len(ends)) - 1]
    return [point for point in points if point[0] <= end] or points[:1]


def _mean(points: Points) -> float:
    return sum(value for _, value in points) / len(points)


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
