"""Predictions of a network, as a file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from plasticity_lab.errors import UserError


class PredictionWriter(BasePredictionWriter):
    """Writes class probabilities as CSV, one row an example.

    A row is index, label, predicted class, and the probability of each class.

    Args:
        path: the file.
        classes: class names, in the order of the network's outputs.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        super().__init__("batch")
        self.path, self.classes = path, classes

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:
            raise UserError(
                "devices",
                value=trainer.world_size,
                problem="predict writes one file from one process",
                fix="use --trainer.devices 1",
            )
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerow(["index", "label", "predicted", *self.classes])

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
        rows = zip(
            batch.indices.tolist(),
            batch.targets.tolist(),
            prediction.argmax(1).tolist(),
            prediction.tolist(),
            strict=True,
        )
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            for index, label, best, probabilities in rows:
                cells = [f"{probability:.6f}" for probability in probabilities]
                writer.writerow([index, self.classes[label], self.classes[best], *cells])
