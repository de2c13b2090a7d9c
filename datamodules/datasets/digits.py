"""Handwritten digits that need no download."""

from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.datasets.image_dataset import ImageDataset
from datamodules.datasets.split import Split, TensorSplit
from datamodules.datasets.stratified import stratified
from plasticity_lab.randomness import generator


class Digits(ImageDataset):
    """1,797 real handwritten digits, bundled with scikit-learn: 8 x 8 pixels shown at 16 x 16.

    Alpaydin & Kaynak 1998.

    A fixed stratified split: 1,297 train, 500 test. Needs no download.

    Args:
        subset: as `ImageDataset`.
        validation: as `ImageDataset`.
    """

    def __init__(
        self, subset: int | None = None, validation: Literal["test"] | float = "test"
    ) -> None:
        super().__init__(subset, validation)

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the whole train or test split."""
        images, labels = _read()
        chosen = torch.zeros(len(labels), dtype=torch.bool)
        chosen[stratified(labels, 500, generator(0, "digits test split"))] = True
        return _select(images, labels, chosen if split == "test" else ~chosen)


@cache
def _read() -> tuple[Tensor, Tensor]:
    """Return all images and labels, unpacked once in a process."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16)
    images = F.interpolate(small, scale_factor=2, mode="bilinear").round().to(torch.uint8)
    return images, torch.from_numpy(bunch.target).long()


def _select(images: Tensor, labels: Tensor, chosen: Tensor) -> TensorSplit:
    return TensorSplit(images[chosen], labels[chosen], [str(digit) for digit in range(10)])
