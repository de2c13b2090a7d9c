"""A data set as a Lightning data module: batches on the training device, a function of seed, epoch, step and rank."""

import os
from functools import cached_property
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor, nn

from datamodules.augmentation import Augmentation
from datamodules.datasets import ImageDataset, Splits
from datamodules.images import Images
from datamodules.loader import Batch, EpochLoader
from datamodules.statistics import channel_histogram, channel_statistics
from errors import UserError
from randomness import generator


class ImageDataModule(LightningDataModule):
    """Image classification data whose order and augmentation follow the run's clock.

    A split is one uint8 tensor on the training device and a batch an index into it; augmentation and normalisation (with mean and
    standard deviation of the training split) run there on the whole batch. Splits that do not fit are read through workers, with
    bit-identical batches.

    Args:
        dataset: where the images come from.
        batch_size: examples in a batch of one device.
        augmentation: applied to training batches; None is none.
        drop_last: leave out an epoch's last, smaller training batch.
        resident: whether splits lie on the device; `auto` if all take at most half of its free memory.
        workers: worker processes for splits that are not resident.
        seed: the run's seed (`seed_everything`), set by train.py.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batch_size: int = 128,
        augmentation: Augmentation | None = None,
        drop_last: bool = False,
        resident: bool | Literal["auto"] = "auto",
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UserError(f"batch_size: {batch_size}: write 1 or more")
        if workers < 0:
            raise UserError(f"workers: {workers}: write 0 (none) or more")
        self.dataset, self.batch_size, self.augmentation, self.drop_last = dataset, batch_size, augmentation, drop_last
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
        mean, deviation = channel_statistics(channel_histogram(self.splits.train, self._is_resident, self.workers))
        return mean.to(self._device), deviation.to(self._device)

    @cached_property
    def _normalisation(self) -> tuple[Tensor, Tensor]:
        mean, deviation = self.statistics
        return mean[:, None, None], (1 / deviation)[:, None, None]

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @cached_property
    def _is_resident(self) -> bool:
        if self.resident != "auto":
            return self.resident
        needed = sum(len(split) * torch.Size(split.shape).numel() for split in self.splits)
        if self._device.type == "cuda":
            return needed <= torch.cuda.mem_get_info(self._device)[0] // 2
        return needed <= os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2

    def _loader(self, split: Images, seed: int | None = None) -> EpochLoader:
        return EpochLoader(
            split,
            self.batch_size,
            self._device,
            resident=self._is_resident,
            workers=self.workers,
            rank=self.trainer.global_rank if self.trainer else 0,
            ranks=self.trainer.world_size if self.trainer else 1,
            seed=seed,
            drop_last=self.drop_last,
        )

    def prepare_data(self) -> None:
        """Read the splits, in one process first, so that whatever is wrong with them shows before a logger writes.

        Raises:
            UserError: if an image cannot be read, an epoch has no batch, or the trainer would not ask for the loader every epoch.
        """
        if self.trainer and self.trainer.state.fn == "fit":
            if self.trainer.reload_dataloaders_every_n_epochs != 1:  # type: ignore[attr-defined]  # set by a helper of Trainer
                raise UserError("reload_dataloaders_every_n_epochs: must be 1, or a resumed run would see another epoch's order")
            if not len(self._train):
                count = len(self.splits.train)
                raise UserError(f"batch_size: {self.batch_size}: no full batch in {count} training examples; choose a smaller one")
            if len(self._train.batches()[-1]) == 1 < self.batch_size and _has_batch_norm(self.trainer):
                raise UserError(
                    f"batch_size: {self.batch_size}: an epoch's last batch would hold one example, too few for batch norm; "
                    "set drop_last: true, or another batch_size"
                )
        self.val_dataloader(), self.test_dataloader(), self.statistics
        if not self._is_resident:
            for split in self.splits:
                channel_histogram(split, False, self.workers)  # reads every image once, and remembers it

    @cached_property
    def _train(self) -> EpochLoader:
        return self._loader(self.splits.train, self.seed)

    @cached_property
    def _validation(self) -> EpochLoader:
        return self._loader(self.splits.validation)

    @cached_property
    def _test(self) -> EpochLoader:
        return self._loader(self.splits.test)

    def train_dataloader(self) -> EpochLoader:
        """Return the loader of the training split, set to the epoch that comes next."""
        if self.trainer:
            progress: Any = self.trainer.fit_loop.epoch_progress.current
            self._train.set_epoch(progress.processed)  # right on every resume, unlike current_epoch
        return self._train

    def val_dataloader(self) -> EpochLoader:
        """Return the loader of the validation split."""
        return self._test if self.splits.validation is self.splits.test else self._validation

    def test_dataloader(self) -> EpochLoader:
        """Return the loader of the test split."""
        return self._test

    def predict_dataloader(self) -> EpochLoader:
        """Return the loader of the test split."""
        return self._test

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn pixels into what the network sees."""
        images = batch.images
        mean, _ = self.statistics
        if self.augmentation and self.trainer and self.trainer.training:
            draws = generator(self.seed, "augment", self._train.epoch, self._train.position, self.trainer.global_rank)
            images = self.augmentation(images, mean, draws)
        shift, scale = self._normalisation
        return batch._replace(images=(images - shift) * scale)


def _has_batch_norm(trainer: Trainer) -> bool:
    return any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in trainer.lightning_module.modules())
