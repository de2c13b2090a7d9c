"""Examples of classes that a run is not trained on, as its network would get them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules import Batch, ClassSubset, ExampleDataset, ImageDataModule
from datamodules.datasets.split import Split
from datamodules.transforms.label_tasks import LabelTransform
from plasticity_lab.errors import UserError


class NovelExamples(NamedTuple):
    """Examples of classes that a run is not trained on.

    Attributes:
        inputs: as the network gets them, with the run's own normalisation, (examples, …).
        labels: int64 (examples,), on the CPU.
        classes: names of the classes.
    """

    inputs: Tensor
    labels: Tensor
    classes: Sequence[str]


def novel_examples(
    data: ImageDataModule, stage: int, dataset: ExampleDataset | None, classes: list[str]
) -> NovelExamples:
    """Return all test examples of another data set, or of classes that a run does without.

    Args:
        data: what the run is trained on.
        stage: the data stage whose transforms of inputs they go through.
        dataset: the other data set; None is the one that the run's `ClassSubset` takes its classes
            from.
        classes: names of classes of that one; none of another data set.

    Raises:
        UserError: for a class that the run is trained on or that is not there, the run's own data
            set, and for inputs of another shape than the run's.
    """
    split = dataset.read("test") if dataset else _own_classes(data, classes)
    if dataset and split.fingerprint == _whole_test_split(data).fingerprint:
        raise UserError(
            "dataset",
            value=type(dataset).__name__,
            problem="is what the run is trained on",
            fix="name another one, or classes: that a ClassSubset leaves out",
        )
    _check(split, data.splits.train)
    inputs = split.tensor().to(data.device)
    batch = Batch(inputs, split.targets.to(data.device), torch.arange(len(split)).to(data.device))
    for part in data.transforms.of_stages:
        if not isinstance(part, LabelTransform):
            batch = part(batch, data.context("test")._replace(level=part.task(stage)))
    return NovelExamples(data.normalise(batch.inputs), split.targets, split.classes)


def _whole_test_split(data: ImageDataModule) -> Split:
    """Return the test split of a run's data set, before its `ClassSubset` chooses classes."""
    inner = data.dataset.dataset if isinstance(data.dataset, ClassSubset) else None
    return inner.read("test") if inner else data.splits.test


def _own_classes(data: ImageDataModule, classes: list[str]) -> Split:
    """Return the test examples of classes that the run's data set leaves out."""
    if not isinstance(data.dataset, ClassSubset):
        raise UserError(
            "classes",
            value=classes,
            problem="the run is trained on all classes of its data set",
            fix="train it on some of them, by datamodules.ClassSubset, or set dataset: instead",
        )
    for name in classes:
        if name in data.dataset.classes:
            fix = "name classes that its ClassSubset leaves out"
            raise UserError("classes", value=name, problem="the run is trained on it", fix=fix)
    return ClassSubset(data.dataset.dataset, classes).read("test")


def _check(split: Split, train: Split) -> None:
    """Raise UserError for examples without classes, or that are no inputs of the network."""
    if not split.classes:
        raise UserError("dataset", problem="has no classes", fix="name one that has")
    if (split.shape, split.dtype) != (train.shape, train.dtype):
        raise UserError(
            "dataset",
            value=split.shape,
            problem=f"the run's inputs are {train.shape}",
            fix="set its size: and channels: to theirs",
        )
