"""Examples of what a run is trained on now."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.interventions.base import Draws
from callbacks.probe import choose, loader_probe
from datamodules import ImageDataModule


def current_examples(trainer: Trainer, module: LightningModule, count: int, draws: Draws) -> Tensor:
    """Draw inputs of the present training data, the same on every rank, (examples, …).

    They are of the present stage, with the deficits that are active and without augmentation, in
    the precision of the network's parameters. With other data than an `ImageDataModule` they are
    those of a diagnostic's probe, at all moments.

    Args:
        trainer: of a run that has begun.
        module: what is trained.
        count: how many; all, if there are no more.
        draws: what keys the choice.
    """
    data: Any = getattr(trainer, "datamodule", None)
    if not isinstance(data, ImageDataModule):
        return loader_probe(trainer, module, count, draws.seed).inputs
    members = data.stages.members(data.now.stage)
    stored = choose(data, data.splits.train, members, count, draws.generator("examples"))
    inputs = data.normalise(data.impaired(stored, "probe", data.now).inputs)
    return inputs.to(next(module.parameters()).dtype)
