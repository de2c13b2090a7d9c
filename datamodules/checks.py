"""What a run's data must allow, asked before training begins."""

from typing import TYPE_CHECKING

import torch
from pytorch_lightning import Trainer
from torch import nn

from datamodules.timeline import epoch_steps, positions
from errors import UserError
from timing import Position

if TYPE_CHECKING:
    from datamodules.image_data import ImageDataModule


def check_run(data: "ImageDataModule", trainer: Trainer) -> None:
    """Raise UserError for what the run could not train on, and for times that it would never reach."""
    if trainer.reload_dataloaders_every_n_epochs != 1:  # type: ignore[attr-defined]  # set by a helper of Trainer
        raise UserError("reload_dataloaders_every_n_epochs: must be 1, or a resumed run would see another epoch's order")
    for deficit in data.deficits:
        deficit.check(data.image_size, data.num_classes)
    timed = data.growth or data.deficits or data.augmentation_during
    if timed and (trainer.max_epochs or -1) < 0:
        raise UserError(f"max_epochs: {trainer.max_epochs}: data that change over time need the number of epochs; write it")
    data.course.stages.check()
    if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # ends after one batch
        data.course.stages.check_times()
        check_windows(data, trainer)
    check_batches(data, trainer)


def check_batches(data: "ImageDataModule", trainer: Trainer) -> None:
    """Raise UserError if an epoch of some stage has no batch, or a last one that batch norm cannot take."""
    for size in data.course.stages.sizes:
        batches = data.loaders["train"].cut(torch.arange(size))
        if not batches:
            raise UserError(f"batch_size: {data.batch_size}: no full batch in {size} training examples; choose a smaller one")
        if len(batches[-1]) == 1 < data.batch_size and _has_batch_norm(trainer):
            raise UserError(
                f"batch_size: {data.batch_size}: an epoch's last batch would hold one example, too few for batch norm, with "
                f"{size} training examples; set drop_last: true, or another batch_size"
            )


def check_windows(data: "ImageDataModule", trainer: Trainer) -> None:
    """Raise UserError for a window that the run does not reach, or that ends before it starts."""
    named = {f"{deficit!r}: during": deficit.during for deficit in data.deficits}
    if data.augmentation_during:
        named["augmentation_during"] = data.augmentation_during
    if not named:
        return
    path, waits, epochs = positions(data, trainer), bool(data.growth and data.growth.until), trainer.max_epochs or 0
    end = path[-1]
    if waits:
        stage = len(data.course.stages.sizes) - 1
        end = Position(end.epoch, end.epoch * epoch_steps(data, trainer, stage), stage)  # no run gets further
    for name, window in named.items():
        if window.start == window.stop:
            continue
        for time in (window.start, window.stop):
            if not time.reached(end, epochs):
                raise UserError(f"{name}: {window}: {time} is never reached: the run has {_extent(end)}")
        if not waits and not any(window.open(now, epochs) for now in path[:-1]):
            raise UserError(f"{name}: {window}: is never open; write [start, stop] with start before stop and inside the run")


def _extent(end: Position) -> str:
    return f"{end.epoch} epochs, {end.step} steps, and stages 0 … {end.stage}"


def _has_batch_norm(trainer: Trainer) -> bool:
    return any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in trainer.lightning_module.modules())
