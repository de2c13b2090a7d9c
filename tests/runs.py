"""Small runs through the command line, and what they end in."""

from pathlib import Path
from typing import Any

import yaml

from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.runs.build import build
from plasticity_lab.runs.event_files import read_events, read_scalars
from plasticity_lab.runs.main import main
from plasticity_lab.runs.parse import Config
from plasticity_lab.runs.run import Run
from plasticity_lab.studies.state_hash import state_hash

REPOSITORY = Path(__file__).parents[1]
EPOCHS = 3

TINY: dict[str, Any] = {
    "trainer": {
        "max_epochs": EPOCHS,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
    "model": {
        "class_path": "lightning_modules.ImageClassifier",
        "init_args": {
            "network": {"class_path": "tests.networks.SmallNet"},
            "optimizer": {
                "class_path": "torch.optim.SGD",
                "init_args": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3},
            },
            "lr_scheduler": {
                "class_path": "torch.optim.lr_scheduler.ExponentialLR",
                "init_args": {"gamma": 0.8},
            },
        },
    },
    "data": {
        "class_path": "datamodules.ImageDataModule",
        "init_args": {
            "dataset": {"class_path": "datamodules.Digits", "init_args": {"subset": 100}},
            "batch_size": 32,
        },
    },
}
"""4 steps an epoch, the last one smaller."""

BRIEF: dict[str, Any] = {"trainer": {"limit_val_batches": 3, "limit_test_batches": 3}}
"""Evaluates on 3 batches in place of 16, where it is training that matters."""


def tiny(*fragments: dict[str, Any]) -> list[str]:
    """Write the tiny run and some fragments as files; return the arguments that name them."""
    arguments = []
    for number, fragment in enumerate((TINY, *fragments)):
        file = Path(f"tiny{number}.yaml")
        file.write_text(yaml.safe_dump(fragment, sort_keys=False))
        arguments += ["--config", str(file)]
    return arguments


def fit(*arguments: str) -> Any:
    """Run `train.py fit` in this process; return the `Run` with its parts."""
    return main(["fit", *arguments])


def resume(config: Config, checkpoint: Path) -> Run:
    """Resume a run whose command line was parsed before, as `fit … --ckpt_path` does."""
    silence_known_warnings()
    settings = config.settings.clone()
    settings.ckpt_path = str(checkpoint)
    run = build(config._replace(settings=settings))
    run.check()
    if run.fit():
        run.report()
    return run


def state(finished: Any) -> dict[str, str]:
    """Return a hash of every part of what a run ends in."""
    optimizer = finished.trainer.optimizers[0].state_dict()
    schedulers = [config.scheduler.state_dict() for config in finished.trainer.lr_scheduler_configs]
    return {
        "weights and buffers": state_hash(finished.model.state_dict()),
        "optimizer": state_hash(optimizer),
        "schedulers": state_hash(schedulers),
        "clock": repr((finished.trainer.current_epoch, finished.trainer.global_step)),
    }


def pictures(directory: Path) -> dict[str, list[tuple[int, str]]]:
    """Return all images of a run as TensorBoard reads them: tag to (step, hash)."""
    events = read_events(directory, "images")
    return {
        tag: [(event.step, state_hash(event.encoded_image_string)) for event in several]
        for tag, several in events.items()
    }


def logged(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Return all scalars of a run as TensorBoard reads them: tag to (step, value)."""
    return read_scalars(directory)
