"""The splits of a data set on the device that trains on them."""

from functools import cached_property
from typing import Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from datamodules.datasets import ImageDataset, Splits
from datamodules.residency import fits
from datamodules.statistics import channel_histogram, channel_statistics
from plasticity_lab.errors import UserError


class SplitsOnDevice(LightningDataModule):
    """A data set's splits, what a network needs to know of them, and where they are held.

    Args:
        dataset: where the images come from.
        batch_size: examples in a batch of one device.
        drop_last: leave out an epoch's last, smaller training batch.
        resident: whether splits lie on the device; `auto` if all take at most half of its free
            memory.
        workers: worker processes for splits that are not resident.
        seed: the run's seed.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batch_size: int,
        drop_last: bool,
        resident: bool | Literal["auto"],
        workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UserError("batch_size", value=batch_size, fix="set 1 or more")
        if workers < 0:
            raise UserError("workers", value=workers, fix="set 0 (none) or more")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.resident, self.workers, self.seed = resident, workers, seed

    @cached_property
    def splits(self) -> Splits:
        """Train, validation and test split."""
        return self.dataset.splits(self.seed)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.splits.train.classes)

    @property
    def in_channels(self) -> int:
        """Number of image channels."""
        return self.splits.train.shape[0]

    @property
    def image_size(self) -> int:
        """Height (and width) of the images in pixels."""
        return self.splits.train.shape[1]

    @property
    def fingerprint(self) -> dict[str, str]:
        """A hash of each split's content, for the run's manifest."""
        return {name: split.fingerprint for name, split in self.splits._asdict().items()}

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the training split's channels in 0…255, on the training device."""
        mean, deviation = channel_statistics(
            channel_histogram(self.splits.train, self.is_resident, self.workers)
        )
        return mean.to(self.device), deviation.to(self.device)

    @cached_property
    def normalisation(self) -> tuple[Tensor, Tensor]:
        """What is subtracted from grey levels and what they are multiplied by then, (channels, 1, 1) each."""
        mean, deviation = self.statistics
        return mean[:, None, None], (1 / deviation)[:, None, None]

    def normalise(self, images: Tensor) -> Tensor:
        """Return grey levels 0…255 as the network gets them, with mean 0 and deviation 1."""
        shift, scale = self.normalisation
        return (images - shift) * scale

    @property
    def device(self) -> torch.device:
        """The training device."""
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @cached_property
    def is_resident(self) -> bool:
        """Whether the splits are held on the device."""
        return fits(self.splits, self.device) if self.resident == "auto" else self.resident
