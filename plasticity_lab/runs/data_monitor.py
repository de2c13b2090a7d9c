"""What the network sees, in the log."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from datamodules import Batch, ImageDataModule
from datamodules.data_schedule import DataState
from plasticity_lab.randomness import generator
from plasticity_lab.runs.image_grid import labelled_grid

EXAMPLES = 32
# Distinguishes the grid's draws from those of every batch.
NO_BATCH = -1


class DataMonitor(Callback):
    """Logs what is active in an `ImageDataModule`, at each epoch's start and at every change.

    Scalars: `data/stage` and `data/examples` if data grow; `deficits/<Class>`, 1 while one of the
    class is active and 0 from then on; `data/augmented`, the share of images, from the first
    moment at which not all are. On a change also `data/as_seen`: the same 32 training images as the
    network sees them; those that are not in the data yet are grey.

    Args:
        resumed: whether the log already shows what was active at the checkpoint that the run
            resumes from.
    """

    def __init__(self, resumed: bool = False) -> None:
        self.resumed = resumed
        self.logged: DataState | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if self.resumed and isinstance(data, ImageDataModule) and data.schedule.history:
            self.logged = data.schedule.history[-1][1]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule) or not trainer.loggers:
            return
        active = data.schedule.history[-1][1]
        if active == self.logged and batch_idx:
            return
        values = scalars(data)
        for logger in trainer.loggers:
            if values:
                logger.log_metrics(values, trainer.global_step)
            if active == self.logged or not data.splits.train.holds_images:
                continue
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("data/as_seen", as_seen(data), trainer.global_step)
        self.logged = active


def scalars(data: ImageDataModule) -> dict[str, float]:
    """Return what is active as numbers, a function of the past alone.

    Runs with a common past log the same.
    """
    values: dict[str, float] = {}
    history = [active for _, active in data.schedule.history]
    now = history[-1]
    if data.growth:
        values |= {"data/stage": now.stage, "data/examples": now.examples}
    for name in sorted({name for active in history for name in active.deficits}):
        tag = f"deficits/{name.split('(')[0]}"
        values[tag] = max(values.get(tag, 0), name in now.deficits)
    if data.augmentation and any(active.augmented != 1 for active in history):
        values["data/augmented"] = now.augmented
    return values


def as_seen(data: ImageDataModule) -> Tensor:
    """Return a grid of some training images as the network sees them now, sorted by target.

    uint8, (3, height, width); the same images each time. A label that is not the image's own is
    written as `own > given`, a real-valued target as its first number. Images that are not in the
    data yet are grey.
    """
    train = data.splits.train
    now = data.now

    # The images as they are stored, and as the network sees them.
    chosen = train.choose(min(EXAMPLES, len(train)), generator(data.seed, "as seen"))
    targets = train.targets[chosen]
    chosen = chosen[
        (targets.flatten(1)[:, 0] if targets.ndim > 1 else targets).argsort(stable=True)
    ]
    pixels, targets = train.__getitems__(chosen.tolist()), train.targets[chosen]
    raw = Batch(pixels.to(data.device), targets.to(data.device), chosen.to(data.device))
    batch = data.schedule.transforms.apply(raw, data.context("train", now.epoch, NO_BATCH, 0), now)

    # Those that are not in the data yet are grey and have no caption.
    present = torch.isin(chosen, data.schedule.stages.members(now.stage))
    images = torch.where(present[:, None, None, None], batch.inputs.cpu().clamp(0, 255), 200)
    captions = [
        _caption(train.classes, label, target) if is_present else ""
        for is_present, label, target in zip(
            present, raw.targets.cpu(), batch.targets.cpu(), strict=True
        )
    ]
    return labelled_grid(images.to(torch.uint8), captions)


def _caption(classes: Sequence[str], label: Tensor, target: Tensor) -> str:
    """Return a target as text, with what training is given in its place."""
    if not classes:
        return f"{float(label.flatten()[0]):.3g}"
    if label == target:
        return classes[int(label)]
    return f"{classes[int(label)]} > {classes[int(target)]}"
