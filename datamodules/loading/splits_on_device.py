"""The splits of a data set on the device that trains on them."""

from functools import cached_property
from math import prod
from typing import Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from datamodules.datasets.channel_normalisation import ChannelNormalisation
from datamodules.datasets.example_dataset import ExampleDataset, Splits
from datamodules.loading.residency import fits_in_memory
from plasticity_lab.errors import UserError


class SplitsOnDevice(LightningDataModule):
    """A data set's splits, what a network needs to know of them, and where they are held.

    Args:
        dataset: where the examples come from.
        batch_size: examples in a batch of one device.
        drop_last: leave out an epoch's last, smaller training batch.
        resident: whether splits lie on the device; `auto` if all take at most half of its free
            memory.
        workers: worker processes for splits that are not resident.
        seed: the run's seed.
    """

    def __init__(
        self,
        dataset: ExampleDataset,
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
        # For the device of the present trainer; the data module may be given another.
        self._normalisation: tuple[torch.device, ChannelNormalisation | None] | None = None
        self._fits: tuple[torch.device, bool] | None = None

    @cached_property
    def splits(self) -> Splits:
        """Train, validation and test split."""
        return self.dataset.splits(self.seed)

    @property
    def num_classes(self) -> int | None:
        """Number of classes; None if the task is not classification."""
        return len(self.splits.train.classes) or None

    @property
    def num_outputs(self) -> int:
        """Outputs that a network needs: classes, or numbers in a target."""
        return self.splits.train.num_outputs

    @property
    def in_channels(self) -> int:
        """Number of image channels; of inputs that are not images, the numbers in one."""
        shape = self.splits.train.shape
        return shape[0] if len(shape) == 3 else prod(shape)

    @property
    def image_size(self) -> int | tuple[int, int]:
        """Height and width of the images in pixels, as one number for squares.

        It is 1 where inputs are not images.
        """
        shape = self.splits.train.shape
        if len(shape) != 3:
            return 1
        _, height, width = shape
        return height if height == width else (height, width)

    @property
    def fingerprint(self) -> dict[str, str]:
        """A hash of each split's content, for the run's manifest."""
        return {name: split.fingerprint for name, split in self.splits._asdict().items()}

    @property
    def normalisation(self) -> ChannelNormalisation | None:
        """What inputs go through before the network, on the training device; None is nothing."""
        if self._normalisation is None or self._normalisation[0] != self.device:
            normaliser = self.dataset.normalisation(
                self.splits.train, self.is_resident, self.workers
            )
            self._normalisation = self.device, normaliser and normaliser.to(self.device)
        return self._normalisation[1]

    def normalise(self, inputs: Tensor) -> Tensor:
        """Return inputs as the network gets them: images with mean 0 and deviation 1."""
        return inputs if self.normalisation is None else self.normalisation(inputs)

    @property
    def device(self) -> torch.device:
        """The training device."""
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @property
    def is_resident(self) -> bool:
        """Whether the splits are held on the device."""
        if self.resident != "auto":
            return self.resident
        if self._fits is None or self._fits[0] != self.device:
            self._fits = self.device, fits_in_memory(self.splits, self.device)
        return self._fits[1]
