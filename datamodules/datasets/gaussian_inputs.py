"""Inputs that are Gaussian noise, for a teacher to give targets to."""

from typing import Literal

import torch

from datamodules.datasets.example_dataset import ExampleDataset, Splits
from datamodules.datasets.split import Split, TensorSplit
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


class GaussianInputs(ExampleDataset):
    """Independent normal numbers, drawn under the run's seed; targets are 0.

    They are the inputs of students and teachers (Tian et al. 2019,
    https://arxiv.org/abs/1905.13405): put a `TeacherTargets` around them.

    Args:
        features: numbers in an input.
        examples: training inputs.
        test_examples: test inputs.
        std: standard deviation of the numbers; the paper's is 10.

    Raises:
        UserError: for sizes below 1, or a deviation that is not above 0.

    Example:
        ```yaml
        class_path: datamodules.GaussianInputs
        init_args: {features: 20, examples: 100000, test_examples: 1024, std: 10}
        ```
    """

    def __init__(
        self, features: int, examples: int = 10000, test_examples: int = 1000, std: float = 1.0
    ) -> None:
        super().__init__()
        sizes = {"features": features, "examples": examples, "test_examples": test_examples}
        for name, size in sizes.items():
            if size < 1:
                raise UserError(name, value=size, fix="set 1 or more")
        if not std > 0:
            raise UserError("std", value=std, fix="set a number above 0")
        self.features, self.std = features, std
        self.counts = {"train": examples, "test": test_examples}

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the split of seed 0."""
        return self._drawn(split, 0)

    def splits(self, seed: int) -> Splits:
        """Draw the splits; the validation split is the test split."""
        train, test = self._drawn("train", seed), self._drawn("test", seed)
        return Splits(train, test, test)

    def _drawn(self, split: str, seed: int) -> Split:
        count = self.counts[split]
        draws = generator(seed, "GaussianInputs", split)
        inputs = torch.randn(count, self.features, generator=draws) * self.std
        return TensorSplit(inputs, torch.zeros(count))
