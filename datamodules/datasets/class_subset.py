"""Some classes of another data set."""

import hashlib
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal

import torch
from torch import Tensor

from datamodules.datasets.channel_normalisation import ChannelNormalisation
from datamodules.datasets.example_dataset import ExampleDataset
from datamodules.datasets.split import Split, SubsetSplit
from plasticity_lab.errors import UserError


class ClassSubset(ExampleDataset):
    """The examples of some classes of another data set, numbered in the order named.

    So the two halves of a data set are two tasks, to pretrain on the one and to go on with the
    other (`initial_weights`).

    Args:
        dataset: where the examples come from, without a `subset` or `validation` of its own.
        classes: names of the classes, each once.
        subset: as `ExampleDataset`, of these classes.
        validation: as `ExampleDataset`.

    Raises:
        UserError: for no class, a name that the data set does not have, with the nearest ones, or a
            subset that is set on the other data set.

    Example:
        ```yaml
        class_path: datamodules.ClassSubset
        init_args: {dataset: {class_path: datamodules.Digits}, classes: ["5", "6", "7"]}
        ```
    """

    def __init__(
        self,
        dataset: ExampleDataset,
        classes: list[str],
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
    ) -> None:
        super().__init__(subset, validation)
        if not classes or len(set(classes)) < len(classes):
            raise UserError("classes", value=classes, fix="name some classes, each once")
        if dataset.subset is not None or dataset.validation != "test":
            raise UserError(
                "dataset",
                value=type(dataset).__name__,
                problem="its subset and validation would be of all classes",
                fix="set those of ClassSubset",
            )
        self.dataset, self.classes = dataset, classes

    def check(self, train: Split, test: Split) -> None:
        """Refuse what the other data set refuses."""
        self.dataset.check(train, test)

    def normalisation(
        self, train: Split, resident: bool, workers: int
    ) -> ChannelNormalisation | None:
        """Return what inputs go through before the network: that of these classes."""
        return self.dataset.normalisation(train, resident, workers)

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the examples of these classes of the whole train or test split."""
        whole = self.dataset.read(split)
        for name in self.classes:
            if name not in whole.classes:
                near = get_close_matches(name, whole.classes, 3, 0) or ["none: it has no classes"]
                raise UserError(
                    "classes",
                    value=name,
                    problem="the data have no such class",
                    fix=f"the nearest are {', '.join(near)}",
                )
        return _SomeClasses(whole, self.classes)


class _SomeClasses(SubsetSplit):
    """Examples of some classes of a split, with the numbers that the classes have here."""

    def __init__(self, parent: Split, classes: Sequence[str]) -> None:
        numbers = torch.full((len(parent.classes),), -1)
        for number, name in enumerate(classes):
            numbers[list(parent.classes).index(name)] = number
        labels: Tensor = numbers[parent.targets]
        super().__init__(parent, (labels >= 0).nonzero().flatten())
        self.targets, self.classes = labels[self.indices], classes
        names = repr(list(classes)).encode()
        self.fingerprint = hashlib.sha256(self.fingerprint.encode() + names).hexdigest()

    @property
    def strata(self) -> Tensor | None:
        """The classes."""
        return self.targets
