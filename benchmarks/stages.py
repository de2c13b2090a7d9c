"""Whether an epoch costs more in a stream of a thousand stages than in one of ten.

    OMP_NUM_THREADS=1 python benchmarks/stages.py [--epochs N] [--json FILE]

A linear network is trained on digits with permuted pixels, in ten stages and with a stage for each
epoch, in turns. Times are medians of processor time over all epochs but the first hundred, and over
the last hundred.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

from plasticity_lab.runs.main import main

TURNS = 3


class Record(Callback):
    """Notes the processor time of every epoch, in seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now = time.process_time()
        if trainer.current_epoch:
            self.seconds.append(now - self._began)
        self._began = now


def config(epochs: int, stages: int) -> dict[str, Any]:
    """Return the settings of a run of so many stages."""
    every = f"{epochs // stages}ep"
    return {
        "trainer": {
            "max_epochs": epochs,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "limit_val_batches": 0,
            "callbacks": [{"class_path": "stages.Record"}],
        },
        "model": {
            "class_path": "lightning_modules.ImageClassifier",
            "init_args": {
                "network": {"class_path": "lightning_modules.networks.Linear"},
                "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}},
            },
        },
        "data": {
            "class_path": "datamodules.ImageDataModule",
            "init_args": {
                "dataset": {"class_path": "datamodules.Digits", "init_args": {"subset": 256}},
                "growth": {"class_path": "datamodules.TaskStream", "init_args": {"every": every}},
                "stage_transforms": [{"class_path": "datamodules.PixelPermutation"}],
            },
        },
    }


def seconds(epochs: int, stages: int) -> list[float]:
    """Return the processor time of each epoch of a run."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("stages.yaml").write_text(yaml.safe_dump(config(epochs, stages), sort_keys=False))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            finished: Any = main(["fit", "--config", "stages.yaml"])
    (record,) = [one for one in finished.trainer.callbacks if type(one).__name__ == "Record"]
    found: list[float] = record.seconds
    return found


def measure(epochs: int) -> dict[str, float]:
    """Return times of an epoch in streams of ten stages and of as many as epochs."""
    few: list[list[float]] = []
    many: list[list[float]] = []
    for _ in range(TURNS):
        few.append(seconds(epochs, 10))
        many.append(seconds(epochs, epochs))
    of_few, of_many = (
        statistics.median(statistics.median(run[100:]) for run in runs) for runs in (few, many)
    )
    at_end = statistics.median(statistics.median(run[-100:]) for run in many)
    early = statistics.median(statistics.median(run[100:200]) for run in many)
    return {
        "epochs": epochs,
        "10 stages: median epoch, seconds of processor time": round(of_few, 5),
        f"{epochs} stages: median epoch, seconds of processor time": round(of_many, 5),
        "ratio": round(of_many / of_few, 3),
        f"{epochs} stages: last 100 epochs over epochs 100 to 200": round(at_end / early, 3),
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=1000)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    measured = measure(given.epochs)
    print(json.dumps(measured, indent=1))
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1) + "\n")
