"""Where images come from: a data set gives a train and a test split, and everything else is derived from those."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.images import Images, Subset, TensorImages, stratified
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


class Splits(NamedTuple):
    """The three splits of a data set."""

    train: Images
    validation: Images
    test: Images


class ImageDataset(ABC):
    """A labelled image data set. Your own: subclass, implement `read`, name the class in YAML.

    Args:
        subset: number of training examples to use, stratified by class and drawn from the run's
            seed; None uses all.
        validation: what `val/…` is measured on: `"test"` is the test split (as most plasticity
            papers do), a number in (0, 1) is the share of the training split that is held out
            instead, stratified and drawn from the run's seed.
        size: height and width that `read` gives the images; None keeps theirs.
    """

    def __init__(
        self,
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
        size: int | None = None,
    ) -> None:
        if size is not None and size < 1:
            raise UserError("size", value=size, fix="set 1 or more pixels")
        self.subset, self.validation, self.size = subset, validation, size

    @abstractmethod
    def read(self, split: Literal["train", "test"]) -> Images:
        """Return the whole train or test split."""

    def splits(self, seed: int) -> Splits:
        """Return train, validation and test split.

        Raises:
            UserError: if `subset` is not in 1…examples, `validation` not in (0, 1) or too small to
                hold out anything, or the images are not squares of one size.
        """
        train, test = self.read("train"), self.read("test")
        if train.shape != test.shape or train.shape[1] != train.shape[2]:
            shown = " and ".join(f"{shape[2]} x {shape[1]}" for shape in (train.shape, test.shape))
            raise UserError(
                "size",
                value=self.size,
                problem=f"train and test images are {shown} pixels",
                fix="set size: to make squares of one size",
            )
        kept = torch.arange(len(train))
        held_out = kept[:0]
        if self.validation != "test":
            held_out = stratified(train.labels, self._count(train), generator(seed, "validation"))
            kept = kept[~torch.isin(kept, held_out)]
        if self.subset is not None:
            if not 1 <= self.subset <= len(kept):
                raise UserError(
                    "subset",
                    value=self.subset,
                    problem=f"choose 1 to {len(kept)}, the training examples there are",
                )
            kept = kept[stratified(train.labels[kept], self.subset, generator(seed, "subset"))]
        validation = test if self.validation == "test" else Subset(train, held_out)
        return Splits(train if len(kept) == len(train) else Subset(train, kept), validation, test)

    def _count(self, train: Images) -> int:
        share = float(self.validation)
        count = round(share * len(train))
        if not (0 < share < 1 and 0 < count < len(train)):
            raise UserError(
                "validation",
                value=self.validation,
                fix="set 'test' or a share of the training split in (0, 1)",
            )
        return count


class Digits(ImageDataset):
    """1,797 real handwritten digits (Alpaydin & Kaynak 1998), bundled with scikit-learn: 8 x 8 pixels shown at 16 x 16.

    A fixed stratified split: 1,297 train, 500 test. Needs no download.

    Args:
        subset: as `ImageDataset`.
        validation: as `ImageDataset`.
    """

    def __init__(
        self, subset: int | None = None, validation: Literal["test"] | float = "test"
    ) -> None:
        super().__init__(subset, validation)

    def read(self, split: Literal["train", "test"]) -> Images:
        """Return the whole train or test split."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        labels = torch.from_numpy(bunch.target).long()
        small = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16)
        images = F.interpolate(small, scale_factor=2, mode="bilinear").round().to(torch.uint8)
        chosen = torch.zeros(len(labels), dtype=torch.bool)
        chosen[stratified(labels, 500, generator(0, "digits test split"))] = True
        return _select(images, labels, chosen if split == "test" else ~chosen)


def _select(images: Tensor, labels: Tensor, chosen: Tensor) -> TensorImages:
    return TensorImages(images[chosen], labels[chosen], [str(digit) for digit in range(10)])
