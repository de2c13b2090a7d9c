"""Where examples come from: a train and a test split, from which everything else is derived."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch

from datamodules.datasets.channel_normalisation import ChannelNormalisation
from datamodules.datasets.split import Split, SubsetSplit
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


class Splits(NamedTuple):
    """The three splits of a data set."""

    train: Split
    validation: Split
    test: Split


class ExampleDataset(ABC):
    """Inputs and targets of any shape; images come from an `ImageDataset`.

    Inputs are floating-point numbers and reach the network as they are. Your own: subclass,
    implement `read`, name the class in YAML.

    Args:
        subset: number of training examples to use, drawn from the run's seed, stratified by class
            if there are any; None uses all.
        validation: what `val/…` is measured on: `"test"` is the test split (as most plasticity
            papers do), a number in (0, 1) is the share of the training split that is held out
            instead, drawn likewise.

    Example:
        ```python
        class Teacher(ExampleDataset):
            def read(self, split: Literal["train", "test"]) -> Split:
                draws = torch.Generator().manual_seed(int(split == "test"))
                inputs = torch.randn(500, 8, generator=draws)
                return TensorSplit(inputs, inputs[:, 0] * inputs[:, 1])
        ```
    """

    def __init__(
        self, subset: int | None = None, validation: Literal["test"] | float = "test"
    ) -> None:
        self.subset, self.validation = subset, validation

    def __repr__(self) -> str:
        """Return class and attributes, by which a diagnostic of one is told from others."""
        given = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({given})"

    @abstractmethod
    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the whole train or test split."""

    def check(self, train: Split, test: Split) -> None:
        """Raise UserError for splits that do not fit together, or cannot be inputs."""
        if train.shape != test.shape or train.num_outputs != test.num_outputs:
            shown = " and ".join(
                f"{split.shape} with {split.num_outputs} outputs" for split in (train, test)
            )
            raise UserError("dataset", problem=f"train and test examples differ: {shown}")
        if not train.dtype.is_floating_point:
            raise UserError(
                "dataset",
                value=type(self).__name__,
                problem=f"inputs are {train.dtype}, not floating-point numbers",
                fix="convert them, or subclass ImageDataset for images in grey levels",
            )

    def normalisation(
        self, train: Split, resident: bool, workers: int
    ) -> ChannelNormalisation | None:
        """Return what inputs go through before the network, in every split; None is nothing.

        Args:
            train: the training split.
            resident: whether it is read as one tensor; otherwise example by example.
            workers: worker processes for that.
        """
        return None

    def splits(self, seed: int) -> Splits:
        """Return train, validation and test split.

        Raises:
            UserError: if `subset` is not in 1…examples, `validation` not in (0, 1) or too small to
                hold out anything, or the splits do not fit together.
        """
        train, test = self.read("train"), self.read("test")
        self.check(train, test)
        indices = torch.arange(len(train))
        held_out = indices[:0]
        if self.validation != "test":
            held_out = train.choose(self._count(train), generator(seed, "validation"))
            indices = indices[~torch.isin(indices, held_out)]
        if self.subset is not None:
            if not 1 <= self.subset <= len(indices):
                raise UserError(
                    "subset",
                    value=self.subset,
                    problem=f"choose 1 to {len(indices)}, the training examples there are",
                )
            chosen = SubsetSplit(train, indices).choose(self.subset, generator(seed, "subset"))
            indices = indices[chosen]
        validation = test if self.validation == "test" else SubsetSplit(train, held_out)
        is_complete = len(indices) == len(train)
        return Splits(train if is_complete else SubsetSplit(train, indices), validation, test)

    def _count(self, train: Split) -> int:
        share = float(self.validation)
        count = round(share * len(train))
        if not (0 < share < 1 and 0 < count < len(train)):
            raise UserError(
                "validation",
                value=self.validation,
                fix="set 'test' or a share of the training split in (0, 1)",
            )
        return count
