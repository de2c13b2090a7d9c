"""Trains one segment, as train.py trains a run."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

from datamodules import ImageDataModule
from plasticity_lab.checkpoint_files import read_checkpoint
from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.runs.build import build
from plasticity_lab.runs.event_files import read_scalars
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.resumable_logger import ResumableTensorBoardLogger
from plasticity_lab.runs.run_directory import RunLocation
from plasticity_lab.studies import scalars
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.studies.task import Task


class SegmentEnd(Callback):
    """Stops after the segment's last epoch with a checkpoint equal to a longer run's there.

    A run whose last data stage ends earlier passes through its other segments without training.

    Args:
        task: what is trained.
        report: called with the number of finished epochs.
    """

    def __init__(self, task: Task, report: Callable[[int], None]) -> None:
        self.task = task
        self.report = report
        self.begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.report(trainer.current_epoch + 1)
        if trainer.current_epoch + 1 == self.task.stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        stages = data.waiting if isinstance(data, ImageDataModule) else None
        ended = stages is not None and stages.ended
        if self.task.stop is not None and trainer.current_epoch != self.task.stop and not ended:
            raise RuntimeError(
                f"the segment ended with epoch {trainer.current_epoch}, not {self.task.stop}"
            )
        trainer.save_checkpoint(Path(self.task.place) / "state.ckpt", weights_only=False)
        entry = {
            "start": self.task.start,
            # A run that its last data stage has ended before this segment trains nothing in it.
            "first": min(self.task.first, trainer.current_epoch),
            "stop": trainer.current_epoch,
            "cut_off": stages is not None and stages.cut_off(trainer.current_epoch),
            "seconds": round(time.monotonic() - self.begun, 2),
            "state": fingerprint(trainer, pl_module),
        }
        (Path(self.task.place) / "done.json").write_text(json.dumps(entry, indent=1))


def fingerprint(trainer: Trainer, module: LightningModule) -> dict[str, str]:
    """Return a hash of each part of a run's state."""
    return {
        "weights and buffers": state_hash(module.state_dict()),
        "optimizers": state_hash([optimizer.state_dict() for optimizer in trainer.optimizers]),
        "schedules": state_hash(
            [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        ),
        "clock": f"epoch {trainer.current_epoch}, step {trainer.global_step}",
    }


def train_segment(task: Task, report: Callable[[int], None] = lambda epochs: None) -> None:
    """Train a segment in the folder that the task names.

    Raises:
        UserError: for what train.py would refuse.
    """
    silence_known_warnings()
    torch.set_num_threads(task.threads)
    place = Path(task.place)
    checkpoint = Path(task.checkpoint) if task.checkpoint else None
    file = place / "segment.yaml"
    file.write_text(yaml.safe_dump(task.config, sort_keys=False))
    steps = read_checkpoint(checkpoint, trainable=True)["global_step"] if checkpoint else None
    # SegmentEnd keeps the end.
    run = build(
        parse(["fit", "--config", str(file)]),
        RunLocation(place, checkpoint, steps),
        [SegmentEnd(task, report)],
        keep_end=False,
    )
    run.check()
    if not run.fit():
        raise RuntimeError("max_time was over before the segment was; remove it from the study")
    scalars.write(place, read_scalars(place))
    if task.test:
        run.trainer.loggers = [ResumableTensorBoardLogger(place / "test", lambda: True)]
        run.trainer.test(run.model, run.data, verbose=False)
        scalars.write(place / "test", read_scalars(place / "test"))
