"""The TensorBoard log of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import _DummyExperiment, rank_zero_experiment
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from plasticity_lab.runs.event_files import read_scalars


class ResumableTensorBoardLogger(TensorBoardLogger):
    """A TensorBoard log in the run's directory that holds every scalar once, however often resumed.

    On a resume, an entry makes readers drop what was logged at or after the checkpoint's step,
    since it is trained again; a value that was already logged at an earlier step is not written
    twice.

    Args:
        directory: the run's directory.
        begun: whether training has begun; before, nothing is written, since settings may still turn
            out wrong.
        resumed_at: optimizer steps taken in the checkpoint that the run resumes from; None for a
            new run.
    """

    def __init__(
        self, directory: Path, begun: Callable[[], bool], resumed_at: int | None = None
    ) -> None:
        super().__init__(
            directory, name="", version="", default_hp_metric=False, purge_step=resumed_at
        )
        self._begun = begun
        self._logged = set[tuple[str, int]]()
        if resumed_at is not None:
            self._logged = logged(directory, resumed_at)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer of event files."""
        return super().experiment if self._begun() else _DummyExperiment()

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log scalars at an optimizer step."""
        new = {tag: value for tag, value in metrics.items() if (tag, step) not in self._logged}
        super().log_metrics(new, step)


def viewing_hint(loggers: Sequence[Logger]) -> list[str]:
    """Return how to look at what was logged, one line for each logger."""
    lines = []
    for logger in loggers:
        folder = logger.log_dir or logger.save_dir
        if folder and isinstance(logger, TensorBoardLogger):
            lines.append(f"look at it:    tensorboard --logdir {Path(folder)}")
        elif folder:
            # A run's `ResumableCSVLogger` stands for the `CSVLogger` of its config.
            kind = type(logger).__name__.removeprefix("Resumable")
            lines.append(f"logged to:     {folder} ({kind})")
    return lines


def logged(directory: Path, end_step: int) -> set[tuple[str, int]]:
    """Return (tag, step) of the scalars in a run's event files of steps before `end_step`."""
    return {
        (tag, step)
        for tag, points in read_scalars(directory).items()
        for step, _ in points
        if step < end_step
    }
