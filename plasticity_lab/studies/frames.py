"""Numbers of studies' runs as tables: pandas frames, CSV and Parquet."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.studies.metrics import scale, summary
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.scalars import epoch_ends, read, read_all
from plasticity_lab.studies.study_context import StudyContext


def measured(
    folders: Sequence[Path], values: Sequence[Mapping[str, Any]], metric: str, over: str
) -> pd.DataFrame:
    """Return one row for each run that has a finite value of a metric.

    A row holds the run's variables and, in `value`, its values over time as one. Shares
    (accuracies) are in percent.
    """
    rows = []
    for folder, variables in zip(folders, values, strict=True):
        value = summary(folder, metric, over)
        if value is not None and isfinite(value):
            rows.append({**variables, "value": value})
    return pd.DataFrame(rows)


def to_frame(
    file: Path | str, root: Path | str = "runs", tags: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return all that the finished runs of a study have logged, as a tidy frame.

    Args:
        file: the study's YAML file.
        root: where runs are kept.
        tags: what to return; all by default.

    Returns:
        one row for each value: `study`, the study's variables, `seed`, `tag`, `step` (optimizer
        steps taken), `epoch` (NaN where it is not known) and `value`, as it was logged.

    Raises:
        UserError: for what is wrong with the study's file.

    Example:
        ```python
        runs = to_frame("configs/studies/digits_blur_removal.yaml", tags=["val/accuracy"])
        runs.groupby(["removed", "epoch"]).value.mean()
        ```
    """
    return study_frame(
        open_study(Path(file), Path(root).absolute(), trust_code=True, fetch=False), tags
    )


def study_frame(work: StudyContext, tags: Sequence[str] | None = None) -> pd.DataFrame:
    """Return what `to_frame` does, of an opened study."""
    frames = []
    for number, run in enumerate(work.study.runs):
        if not work.is_materialised(number):
            continue
        folder = work.folder(number)
        ends = _ends(folder)
        for tag, points in read_all(folder).items():
            if tags is not None and tag not in tags:
                continue
            steps = [step for step, _ in points]
            logged = pd.DataFrame(
                {
                    "tag": tag,
                    "step": steps,
                    "epoch": epochs_of(steps, ends),
                    "value": [value for _, value in points],
                }
            )
            frames.append(logged.assign(study=work.study.name, **run.values))
    columns = ["study", *work.study.runs[0].values, "tag", "step", "epoch", "value"]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)[columns]


def write_frame(frame: pd.DataFrame, file: Path) -> None:
    """Write a frame as CSV or Parquet, as the file's name ends.

    Raises:
        UserError: for another ending, Parquet without pyarrow, or a file that cannot be written.
    """
    check_frame_file(file)
    try:
        with write_atomically(file) as unfinished:
            if file.suffix == ".csv":
                frame.to_csv(unfinished, index=False)
            else:
                _one_type_a_column(frame).to_parquet(unfinished, index=False)
    except OSError as error:
        raise UserError("to", value=file, problem=error.strerror, fix="name another file") from None


def _one_type_a_column(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with text in place of columns that hold numbers and texts."""
    mixed = [name for name in frame if frame[name].dtype == object and name != "study"]
    texts = {name: frame[name].map(str, na_action="ignore") for name in mixed}
    return frame.assign(**texts)


def check_frame_file(file: Path) -> None:
    """Raise UserError for a file that `write_frame` cannot write."""
    if file.suffix not in (".csv", ".parquet"):
        raise UserError("to", value=file, fix="name a file that ends in .csv or .parquet")
    if not file.parent.is_dir():
        raise UserError("to", value=file, problem="its folder does not exist", fix="make it first")
    if file.suffix == ".parquet" and not find_spec("pyarrow"):
        raise UserError(
            "to",
            value=file,
            problem="pandas writes Parquet with pyarrow, which is not installed",
            fix='pip install -e ".[parquet]", or name a file that ends in .csv',
        )


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
        points = read(folder, metric)
        epochs = epochs_of([step for step, _ in points], _ends(folder))
        for (step, value), epoch in zip(points, epochs, strict=True):
            rows.append({**variables, "step": step, "epoch": epoch, "value": scale(metric) * value})
    return pd.DataFrame(rows)


def _ends(folder: Path) -> list[int]:
    """Return the steps at which epochs begin and end, as far as training loss was logged."""
    return [0, *epoch_ends(folder)]


def epochs_of(steps: Sequence[int], ends: Sequence[int]) -> list[float]:
    """Return steps as epochs; NaN if it is not known where epochs end."""
    if len(ends) == 1:
        return [float("nan")] * len(steps)
    places = np.interp(steps, ends, range(len(ends)))
    return [round(float(place), 4) for place in places]


def by_seed(frame: pd.DataFrame) -> dict[Any, float]:
    """Return the values of one arm by seed."""
    return {row.seed: row.value for row in frame.itertuples()}
