"""Whether a long run gets slower, or its checkpoints larger, by epochs in which nothing changes.

    OMP_NUM_THREADS=1 python benchmarks/long_run.py [--epochs N] [--json FILE]

A linear network is trained on digits that grow and are blurred at the beginning. Times are medians
over hundred epochs each, one hundred near the beginning and one at the end of the same run.
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


class Record(Callback):
    """Times every epoch, and notes how large the last checkpoint is.

    Attributes:
        seconds: of each epoch.
        sizes: bytes of the checkpoint at the start of each epoch but the first.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.sizes: list[int] = []
        self._began = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now = time.perf_counter()
        if trainer.current_epoch:
            self.seconds.append(now - self._began)
            self.sizes.append(Path("run.ckpt").stat().st_size)
        self._began = now

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch % 50 == 49 or not trainer.current_epoch:
            trainer.save_checkpoint("run.ckpt")


def config(epochs: int) -> dict[str, Any]:
    """Return the settings of the run."""
    callbacks = [
        {"class_path": "long_run.Record"},
        {"class_path": "callbacks.WeightDecaySchedule", "init_args": {"levels": {"0ep": 0.001}}},
    ]
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"fractions": [0.5, 1.0], "at": ["3ep"]},
    }
    blur = {"class_path": "datamodules.Blur", "init_args": {"size": 4, "during": ["0ep", "5ep"]}}
    return {
        "trainer": {
            "max_epochs": epochs,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "limit_val_batches": 0,
            "callbacks": callbacks,
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
                "growth": growth,
                "deficits": [blur],
            },
        },
    }


def measure(epochs: int) -> dict[str, float]:
    """Return times and sizes near the beginning and at the end of a run of so many epochs."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("long.yaml").write_text(yaml.safe_dump(config(epochs), sort_keys=False))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            finished: Any = main(["fit", "--config", "long.yaml"])
    (record,) = [one for one in finished.trainer.callbacks if type(one).__name__ == "Record"]
    early = statistics.median(record.seconds[100:200])
    late = statistics.median(record.seconds[-100:])
    return {
        "epochs": epochs,
        "checkpoint after 50 epochs, bytes": record.sizes[100],
        "checkpoint at the end, bytes": record.sizes[-1],
        "median epoch 100 to 200, seconds": round(early, 5),
        "median of the last 100 epochs, seconds": round(late, 5),
        "ratio": round(late / early, 3),
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=2000)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    measured = measure(given.epochs)
    print(json.dumps(measured, indent=1))
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1) + "\n")
