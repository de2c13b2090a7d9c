"""Measure what configs/diagnostics/all.yaml costs, about 10 minutes on CIFAR-10.

The seconds spent in diagnostics over those of the rest of the same run.

OMP_NUM_THREADS=1 python benchmarks/all_diagnostics.py --config FILE … [--json FILE]
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.diagnostics.base import Diagnostic
from plasticity_lab.project import ROOT
from plasticity_lab.runs.build import build
from plasticity_lab.runs.manifest import session
from plasticity_lab.runs.parse import parse


class Stopwatch(Callback):
    """Times training, and in it what diagnostics do.

    Attributes:
        seconds: of training as a whole.
        spent: of each diagnostic.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.spent: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.perf_counter() - self.started

    def watch(self, one: Diagnostic) -> None:
        """Time whatever it does in training."""
        name = type(one).__name__
        self.spent[name] = 0.0
        for hook in (
            "on_train_batch_start",
            "on_before_backward",
            "on_before_optimizer_step",
            "on_train_batch_end",
        ):
            setattr(one, hook, self._timed(name, getattr(one, hook)))

    def _timed(self, name: str, hook: Callable[..., None]) -> Callable[..., None]:
        def timed(*arguments: Any) -> None:
            started = time.perf_counter()
            hook(*arguments)
            self.spent[name] += time.perf_counter() - started

        return timed


def trained(configs: list[str], *more: str) -> Stopwatch:
    """Run `train.py fit`; return how long it took."""
    watch = Stopwatch()
    files = [part for file in configs for part in ("--config", file)]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = build(
            parse(["fit", *files, *quiet, "--trainer.default_root_dir", folder, *more]),
            extra=[watch],
        )
        callbacks: list[Callback] = run.trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        for one in callbacks:
            if isinstance(one, Diagnostic):
                watch.watch(one)
        run.check()
        run.fit()
    return watch


def everything(configs: list[str], epochs: int) -> dict[str, Any]:
    """Return the cost of configs/diagnostics/all.yaml over the rest of the same training."""
    watch = trained(
        [*configs, str(ROOT / "configs/diagnostics/all.yaml")], "--trainer.max_epochs", str(epochs)
    )
    spent = sum(watch.spent.values())
    return {
        "epochs": epochs,
        "share of training": round(spent / (watch.seconds - spent), 3),
        "seconds of training": round(watch.seconds - spent, 1),
        "seconds of each": {name: round(seconds, 1) for name, seconds in watch.spent.items()},
    }


def main_() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", action="append", required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {
        "configs": [Path(name).name for name in given.config],
        **everything(given.config, given.epochs),
    }
    found = session(torch.device("cpu"), [], None)
    results["manifest"] = {
        key: value for key, value in found.items() if key in ("versions", "device", "git")
    }
    print(json.dumps(results, indent=1))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main_()
