"""Numbers of a study's runs as tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plasticity_lab.studies.metrics import read_over, scale
from plasticity_lab.studies.scalars import read


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


def by_seed(frame: pd.DataFrame) -> dict[Any, float]:
    """Return the values of one arm by seed."""
    return {row.seed: row.value for row in frame.itertuples()}
