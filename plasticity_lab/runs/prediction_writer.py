"""Predictions of a network, as a file."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from plasticity_lab.errors import UserError


class PredictionWriter(BasePredictionWriter):
    """Writes predictions as CSV, one row an example.

    Of classes: its index, label, predicted class and each class's probability. Of real values: its
    index, the target and the prediction, or each number of both (`target0`, … `predicted0`, …).

    Args:
        path: the file.
        classes: class names, in the order of the network's outputs; none for real values.
        numbers: numbers in a target.
    """

    def __init__(self, path: Path, classes: Sequence[str], numbers: int) -> None:
        super().__init__("batch")
        self.path, self.classes, self.numbers = path, classes, numbers

    @property
    def columns(self) -> list[str]:
        """The file's columns."""
        if self.classes:
            return ["index", "label", "predicted", *self.classes]
        if self.numbers == 1:
            return ["index", "target", "predicted"]
        names = ("target", "predicted")
        return ["index", *(f"{name}{number}" for name in names for number in range(self.numbers))]

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:
            raise UserError(
                "devices",
                value=trainer.world_size,
                problem="predict writes one file from one process",
                fix="use --trainer.devices 1",
            )
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerow(self.columns)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Add a batch's rows."""
        rows = self._of_classes if self.classes else self._of_values
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows(rows(batch, prediction))

    def _of_classes(self, batch: Any, probabilities: Tensor) -> Iterator[list[Any]]:
        labels, best = batch.targets.tolist(), probabilities.argmax(1).tolist()
        parts = (batch.indices.tolist(), labels, best, probabilities.tolist())
        for index, label, predicted, shares in zip(*parts, strict=True):
            names = self.classes[label], self.classes[predicted]
            yield [index, *names, *(f"{share:.6f}" for share in shares)]

    def _of_values(self, batch: Any, predicted: Tensor) -> Iterator[list[Any]]:
        targets = batch.targets.view(predicted.shape).float()
        parts = (batch.indices.tolist(), targets.tolist(), predicted.tolist())
        for index, target, values in zip(*parts, strict=True):
            yield [index, *(f"{value:.6g}" for value in (*target, *values))]
