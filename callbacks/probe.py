"""The examples on which a network is measured."""

import random
from collections.abc import Sized
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from datamodules import Batch, ImageDataModule
from datamodules.datasets.split import Split, SubsetSplit
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import derive_seed, generator
from plasticity_lab.timing import Position


class Probe(NamedTuple):
    """Examples, the same ones throughout a run or a stage of a stream, on the training device.

    Attributes:
        inputs: as the network gets them, not augmented, (examples, …).
        targets: their own, (examples, …).
        indices: in their split, (examples,).
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor


NO_PROBE = Probe(torch.empty(0), torch.empty(0), torch.empty(0, dtype=torch.int64))
"""Of a diagnostic that looks at no examples."""


def training_probe(
    data: ImageDataModule,
    examples: int,
    with_deficits: bool,
    now: Position,
    stage: int | None = None,
) -> Probe:
    """Choose examples of the training split, the same share of every class.

    They are of the whole split, but for a stream, where they are of the present stage.

    Args:
        data: what the run is trained on; its seed keys the choice.
        examples: how many; all, if there are no more.
        with_deficits: with the deficits that are active now, as training has them; else as they
            are. Labels stay their own.
        now: where the run is.
        stage: the data stage that they are of and shown as, without deficits; None is the present.
    """
    stage = now.stage if stage is None else stage
    train, draws = data.splits.train, generator(data.seed, "probe")
    members = data.stages.members(stage) if data.stages.stages.replaced else None
    stored = choose(data, train, members, examples, draws)
    batch = data.in_stage(stored, "train", stage)
    inputs = data.impaired(stored, "probe", now).inputs if with_deficits else batch.inputs
    return Probe(data.normalise(inputs), batch.targets, batch.indices)


def test_probe(data: ImageDataModule, stage: int, examples: int) -> Probe:
    """Choose examples of the test split, the same share of every class, without deficits.

    Args:
        data: what the run is trained on; its seed keys the choice.
        stage: the data stage that they are shown as.
        examples: how many; all, if there are no more.
    """
    test, draws = data.splits.test, generator(data.seed, "probe", "test")
    members = data.stages.shown(test.targets, stage)
    batch = data.in_stage(choose(data, test, members, examples, draws), "test", stage)
    return Probe(data.normalise(batch.inputs), batch.targets, batch.indices)


def choose(
    data: ImageDataModule,
    split: Split,
    members: Tensor | None,
    examples: int,
    draws: torch.Generator,
) -> Batch:
    """Return examples of a split as they are stored, of its members if not of all."""
    if members is None:
        chosen = split.choose(min(examples, len(split)), draws)
    else:
        chosen = members[SubsetSplit(split, members).choose(min(examples, len(members)), draws)]
    inputs = split.__getitems__(chosen.tolist()).to(data.device)
    return Batch(inputs, split.targets[chosen].to(data.device), chosen.to(data.device))


def loader_probe(trainer: Trainer, module: LightningModule, examples: int, seed: int) -> Probe:
    """Choose examples of the data set behind a run's training loader, whatever data module it has.

    They are read once, as the loader would read them: with whatever augmentation its data set has,
    drawn under the run's seed. The global random streams stay as they are.

    Args:
        trainer: of a run that has begun, so that its loader is there.
        module: what is trained, whose batch hooks are called.
        examples: how many; all, if there are no more.
        seed: keys the choice.

    Raises:
        UserError: if there is not one loader of a data set that can be indexed, or its batches are
            not (inputs, targets, …).
    """
    loader: Any = trainer.train_dataloader
    dataset: Any = getattr(loader, "dataset", None)
    indexed = isinstance(dataset, Sized) and not isinstance(dataset, IterableDataset)
    if not isinstance(loader, DataLoader) or not indexed:
        raise UserError(
            "diagnostics",
            value=type(loader).__name__,
            problem="a probe needs one DataLoader of a data set that can be indexed",
            fix="use one, or datamodules.ImageDataModule",
        )
    chosen = torch.randperm(len(dataset), generator=generator(seed, "probe"))[:examples]
    collate: Any = loader.collate_fn
    with isolate_rng():
        key = derive_seed(seed, "probe", "augmentation")
        random.seed(key)
        np.random.seed(key % 2**32)  # noqa: NPY002  # third-party code draws from it
        torch.manual_seed(key)
        batch = trainer.precision_plugin.convert_input(collate([dataset[int(i)] for i in chosen]))
        batch = module._apply_batch_transfer_handler(batch)
    parts = batch[:2] if isinstance(batch, list | tuple) else []
    if len(parts) < 2 or not all(isinstance(part, Tensor) for part in parts):
        raise UserError(
            "diagnostics",
            value=type(batch).__name__,
            problem="a probe needs batches (inputs, targets, …) of tensors",
            fix="let the loader return such batches, or use datamodules.ImageDataModule",
        )
    return Probe(parts[0], parts[1], chosen.to(module.device))
