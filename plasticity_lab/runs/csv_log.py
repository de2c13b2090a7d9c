"""Lightning's CSV log, of a run that is resumed."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger


class ResumableCSVLogger(CSVLogger):
    """Replaces a `CSVLogger`, which deletes earlier rows when its folder is used again.

    On a resume, rows of steps before the checkpoint stay; later ones are dropped, since these steps
    are trained again.

    Args:
        given: the logger that is replaced.
        begin: called before anything is written.
        resumed_at: optimizer steps taken in the checkpoint that the run resumes from; None for a
            new run.
    """

    def __init__(
        self, logger: CSVLogger, begin: Callable[[], None], resumed_at: int | None
    ) -> None:
        vars(self).update(vars(logger))
        self._begin = begin
        self._resumed_at = resumed_at
        self._logged: set[tuple[str, int]] = set()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer of the file."""
        if self._experiment is None:
            self._begin()
            file = Path(self.log_dir) / "metrics.csv"
            # Lightning deletes the file as it makes its writer.
            backup = file.with_name(f".{file.name}")
            if file.exists() and not backup.exists():
                file.replace(backup)
            writer = super().experiment
            rows = self._rows(backup)
            if rows:
                writer.metrics_keys = sorted(rows[0])
                with file.open("w", newline="") as stream:
                    table = csv.DictWriter(stream, writer.metrics_keys)
                    table.writeheader()
                    table.writerows(rows)
            backup.unlink(missing_ok=True)
        return super().experiment

    def _rows(self, file: Path) -> list[dict[str, str]]:
        """Return the rows that stay, and record which values they hold."""
        if self._resumed_at is None or not file.exists():
            return []
        with file.open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if int(row["step"]) < self._resumed_at]
        for row in rows:
            self._logged |= {(tag, int(row["step"])) for tag, value in row.items() if value}
        return rows

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log scalars at an optimizer step."""
        _ = self.experiment
        new = {
            tag: value
            for tag, value in metrics.items()
            if step is None or (tag, step) not in self._logged
        }
        if new:
            super().log_metrics(new, step)
