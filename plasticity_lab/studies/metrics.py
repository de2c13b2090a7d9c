"""Numbers of a study's runs, from what they have logged."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plasticity_lab.errors import UserError
from plasticity_lab.studies.logged_metrics import check_logged
from plasticity_lab.studies.scalars import Points, read


def read_over(text: Any, key: str = "over") -> Callable[[Points], float]:
    """Return how a metric's values over time become one.

    `last 5 epochs` is the mean of the last five values, `last epoch` the last one, `first` and
    `largest` what they say, and `at 10%` the last one within that share of the steps.

    Args:
        text: how.
        key: what an error names.

    Raises:
        UserError: for anything else.
    """
    if match := re.fullmatch(r"last (?:([1-9]\d*) epochs|epoch)", str(text)):
        count = int(match[1] or 1)
        return lambda points: sum(value for _, value in points[-count:]) / len(points[-count:])
    if match := re.fullmatch(r"at (\d\d?|100)%", str(text)):
        share = int(match[1])
        return lambda points: _at(points, share)
    if text == "first":
        return lambda points: points[0][1]
    if text == "largest":
        return lambda points: max(value for _, value in points)
    raise UserError(
        key, value=text, fix="set 'last epoch', 'last 5 epochs', 'first', 'largest' or 'at 10%'"
    )


def _at(points: Points, share: int) -> float:
    """Return the last value within a share of the steps, in percent; the first one at least."""
    last_step = points[-1][0] * share
    values = [value for step, value in points if step * 100 <= last_step or step == points[0][0]]
    return values[-1]


def measured(
    folders: Sequence[Path], values: Sequence[Mapping[str, Any]], metric: str, over: str
) -> pd.DataFrame:
    """Return one row for each run that has a metric, with its value; None if none has.

    A row holds the run's variables and, in `value`, its values over time as one. Shares
    (accuracies) are in percent.
    """
    rows = []
    summarise = read_over(over)
    for folder, variables in zip(folders, values, strict=True):
        points = read(folder, metric)
        if points:
            rows.append({**variables, "value": scale(metric) * summarise(points)})
    return pd.DataFrame(rows)


def curves(
    folders: Sequence[Path], values: Sequence[Mapping[str, Any]], metric: str
) -> pd.DataFrame:
    """Return one row for each value of a metric over time.

    A row holds its run's variables, `step` (batches trained before), `epoch` and `value`. Epochs
    end where `train/loss` is logged, and are cut into equal steps; they are NaN where it is not
    logged.
    """
    rows = []
    for folder, variables in zip(folders, values, strict=True):
        ends = [0, *(step for step, _ in read(folder, "train/loss"))]
        for step, value in read(folder, metric):
            epoch = float("nan")
            if len(ends) > 1:
                epoch = round(float(np.interp(step, ends, range(len(ends)))), 4)
            rows.append({**variables, "step": step, "epoch": epoch, "value": scale(metric) * value})
    return pd.DataFrame(rows)


def scale(metric: str) -> int:
    """Return what a metric is multiplied by to be shown."""
    return 100 if metric.endswith("accuracy") else 1


def written(value: float, metric: str, sign: str = "") -> str:
    """Format a value of a metric: percentages with two decimals, others with three digits.

    Large values as whole numbers.
    """
    if scale(metric) == 100:
        return f"{value:{sign}.2f}"
    return f"{value:{sign},.0f}" if abs(value) >= 100 else f"{value:{sign}#.3g}"


def by_seed(frame: pd.DataFrame) -> dict[Any, float]:
    """Return the values of one arm by seed."""
    return {row.seed: row.value for row in frame.itertuples()}


def check_metric(key: str, metric: Any, configs: Iterable[dict[str, Any]]) -> None:
    """Raise UserError, which names the key, for a metric that no run logs."""
    check_logged(key, metric, configs)
