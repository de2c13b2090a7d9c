"""Shows what the network is shown."""

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
NO_BATCH = -1  # tells the grid's draws from those of every batch


class DataMonitor(Callback):
    """Logs what an `ImageDataModule` has in force, at each epoch's first batch and whenever it changes.

    Scalars: `data/stage` and `data/examples` if data grow; `deficits/<Class>`, 1 while one of the
    class is in force and 0 from then on; `data/augmented`, the share of images, from the first
    moment at which not all are. On a change also `data/as_seen`: the same 32 training images as the
    network sees them; those that are not in the data yet are grey.

    Args:
        resumed: whether the log already shows what was in force at the checkpoint that the run goes
            on from.
    """

    def __init__(self, resumed: bool = False) -> None:
        self.resumed = resumed
        self.shown: DataState | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if self.resumed and isinstance(data, ImageDataModule) and data.schedule.history:
            self.shown = data.schedule.history[-1][1]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule) or not trainer.loggers:
            return
        shown = data.schedule.history[-1][1]
        if shown == self.shown and batch_idx:
            return
        values = scalars(data)
        for logger in trainer.loggers:
            if values:
                logger.log_metrics(values, trainer.global_step)
            if shown == self.shown or not data.splits.train.holds_images:
                continue
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("data/as_seen", as_seen(data), trainer.global_step)
        self.shown = shown


def scalars(data: ImageDataModule) -> dict[str, float]:
    """Return what is in force as numbers: a function of the past alone, so that runs which have it in common log the same."""
    values: dict[str, float] = {}
    past = [shown for _, shown in data.schedule.history]
    shown = past[-1]
    if data.growth:
        values |= {"data/stage": shown.stage, "data/examples": shown.examples}
    for name in sorted({name for earlier in past for name in earlier.deficits}):
        tag = f"deficits/{name.split('(')[0]}"
        values[tag] = max(values.get(tag, 0), name in shown.deficits)
    if data.augmentation and any(earlier.augmented != 1 for earlier in past):
        values["data/augmented"] = shown.augmented
    return values


def as_seen(data: ImageDataModule) -> Tensor:
    """Return a grid of the same training images, sorted by target, as the network sees them now; uint8 (3, height, width).

    A label that is not the image's own is written as `own > given`, a real-valued target as its
    first number. Images that are not in the data yet are grey.
    """
    train, now = data.splits.train, data.now
    chosen = train.choose(min(EXAMPLES, len(train)), generator(data.seed, "as seen"))
    first = (
        train.targets[chosen].flatten(1)[:, 0] if train.targets.ndim > 1 else train.targets[chosen]
    )
    chosen = chosen[first.argsort(stable=True)]
    pixels, targets = train.__getitems__(chosen.tolist()), train.targets[chosen]
    raw = Batch(pixels.to(data.device), targets.to(data.device), chosen.to(data.device))
    batch = data.schedule.transforms.apply(raw, data.context("train", now.epoch, NO_BATCH, 0), now)
    present = torch.isin(chosen, data.schedule.stages.members(now.stage))
    images = torch.where(present[:, None, None, None], batch.inputs.cpu().clamp(0, 255), 200).to(
        torch.uint8
    )
    captions = [
        _caption(train.classes, own, given) if there else ""
        for there, own, given in zip(present, raw.targets.cpu(), batch.targets.cpu(), strict=True)
    ]
    return labelled_grid(images, captions)


def _caption(classes: Sequence[str], own: Tensor, given: Tensor) -> str:
    """Return a target as text, with what training is given in its place."""
    if not classes:
        return f"{float(own.flatten()[0]):.3g}"
    if own == given:
        return classes[int(own)]
    return f"{classes[int(own)]} > {classes[int(given)]}"
