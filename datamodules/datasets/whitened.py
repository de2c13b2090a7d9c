"""Inputs whitened by the statistics of the training split."""

from collections.abc import Iterator
from math import prod
from typing import Literal

import torch
from torch import Tensor

from datamodules.datasets.channel_normalisation import ChannelNormalisation
from datamodules.datasets.example_dataset import Splits
from datamodules.datasets.image_dataset import ImageDataset
from datamodules.datasets.split import Split
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.zca import zca_matrix

_CHUNK = 500
"""Images that are read at a time."""


class WhitenedImages(ImageDataset):
    """The images of another data set, whitened by ZCA after channels are normalised.

    Lee et al. 2020, https://arxiv.org/abs/2007.15801: mean and covariance of all numbers of an
    image are those of the training split, before deficits and augmentation; every split goes
    through the same matrix. Deficits and augmentation act on grey levels, before it.

    Args:
        dataset: where the images come from; its subset and validation count.
        regularisation: added to eigenvalues, relative to their mean; above 0.

    Raises:
        UserError: for a regularisation that is not above 0, or a data set that is not of images.

    Example:
        ```yaml
        class_path: datamodules.WhitenedImages
        init_args: {dataset: {class_path: datamodules.Digits}, regularisation: 0.1}
        ```
    """

    def __init__(self, dataset: ImageDataset, regularisation: float = 0.1) -> None:
        super().__init__(dataset.subset, dataset.validation)
        if not regularisation > 0:
            raise UserError("regularisation", value=regularisation, fix="set a number above 0")
        self.dataset, self.regularisation = dataset, regularisation

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the other data set's split, as it is."""
        return self.dataset.read(split)

    def splits(self, seed: int) -> Splits:
        """Return the other data set's splits."""
        return self.dataset.splits(seed)

    def normalisation(self, train: Split, resident: bool, workers: int) -> "ZCAWhitening":
        """Return that of channels and the whitening after it."""
        channels = self.dataset.normalisation(train, resident, workers)
        count, size = len(train), prod(train.shape)
        total = torch.zeros(size, dtype=torch.float64)
        products = torch.zeros(size, size, dtype=torch.float64)
        for images in _chunks(train):
            rows = channels(images).flatten(1).double()
            total += rows.sum(0)
            products += rows.T @ rows
        mean = total / count
        covariance = products / count - torch.outer(mean, mean)
        matrix = zca_matrix(covariance, self.regularisation)
        return ZCAWhitening(channels, mean.float(), matrix.float())


class ZCAWhitening(ChannelNormalisation):
    """Normalises channels, and then whitens images.

    Args:
        channels: what channels go through first.
        centre: float32 (numbers,), the mean image after it, flat.
        matrix: float32 (numbers, numbers).
    """

    def __init__(self, channels: ChannelNormalisation, centre: Tensor, matrix: Tensor) -> None:
        super().__init__(channels.mean, channels.std)
        self.channels, self.centre, self.matrix = channels, centre, matrix

    def __call__(self, images: Tensor) -> Tensor:
        """Whiten (examples, channels, height, width)."""
        normalised = self.channels(images)
        whitened = (normalised.flatten(1) - self.centre) @ self.matrix
        return whitened.view(normalised.shape)

    def to(self, device: torch.device) -> "ZCAWhitening":
        """Return it for images on a device."""
        return ZCAWhitening(
            self.channels.to(device), self.centre.to(device), self.matrix.to(device)
        )


def _chunks(split: Split) -> Iterator[Tensor]:
    for start in range(0, len(split), _CHUNK):
        yield split.__getitems__(range(start, min(start + _CHUNK, len(split))))
