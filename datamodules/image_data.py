"""A data set as a Lightning data module, with batches on the training device.

They are a function of seed, epoch, step and rank.
"""

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from datamodules.checks import check_run
from datamodules.data_schedule import DataSchedule
from datamodules.datasets.channel_statistics import channel_histogram
from datamodules.datasets.example_dataset import ExampleDataset
from datamodules.epoch_plan import EpochPlan
from datamodules.growth.base import Growth
from datamodules.growth.stage_schedule import StageSchedule
from datamodules.loading.batch import Batch
from datamodules.loading.loader import EpochLoader
from datamodules.loading.splits_on_device import SplitsOnDevice
from datamodules.transforms.augmentation import Augmentation
from datamodules.transforms.batch_transforms import BatchTransforms
from datamodules.transforms.deficit import BatchContext, Deficit
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Position, Time, Window


class ImageDataModule(SplitsOnDevice):
    """Image classification data whose content, order and augmentation follow the run's clock.

    A split is one uint8 tensor on the training device and a batch an index into it; deficits,
    augmentation and normalisation (with mean and standard deviation of the whole training split)
    run there on the whole batch. Splits that do not fit are read through workers, with
    bit-identical batches. Nothing is ever changed in a data set.

    Args:
        dataset: where the images come from.
        batch_size: examples in a batch of one device.
        growth: how the training split arrives; None is all at once.
        deficits: what is wrong with training batches for a while, in the order in which it acts.
        also_evaluate_with_deficit: measure `val_deficit/loss` and `val_deficit/accuracy` too: on
            the validation split with every deficit of the list, active or not.
        augmentation: applied to training batches after the deficits; None is none.
        augmentation_during: `[start, stop]`, when it is; None is always.
        drop_last: leave out an epoch's last, smaller training batch.
        resident: whether splits lie on the device; `auto` if all take at most half of its free
            memory.
        workers: worker processes for splits that are not resident.
        seed: the run's seed (`seed_everything`), set by train.py.
    """

    def __init__(
        self,
        dataset: ExampleDataset,
        batch_size: int = 128,
        growth: Growth | None = None,
        deficits: list[Deficit] | None = None,
        also_evaluate_with_deficit: bool = False,
        augmentation: Augmentation | None = None,
        augmentation_during: tuple[Time, Time] | None = None,
        drop_last: bool = False,
        resident: bool | Literal["auto"] = "auto",
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, batch_size, drop_last, resident, workers, seed)
        if also_evaluate_with_deficit and not deficits:
            raise UserError(
                "also_evaluate_with_deficit",
                value="true",
                problem="there are no deficits",
                fix="add some, or remove it",
            )
        if augmentation_during and augmentation is None:
            raise UserError(
                "augmentation_during",
                problem="there is no augmentation",
                fix="add augmentation, or remove it",
            )
        self.growth, self.deficits, self.also_evaluate_with_deficit = (
            growth,
            deficits or [],
            also_evaluate_with_deficit,
        )
        self.augmentation = augmentation
        self.augmentation_during = Window(*augmentation_during) if augmentation_during else None

    @cached_property
    def schedule(self) -> DataSchedule:
        """What the network is shown over time."""
        train = self.splits.train
        stages = StageSchedule(
            self.growth, train.targets, self.num_classes, self.seed, self._epochs
        )
        stages.check()
        for deficit in self.deficits:
            deficit.check(train)
        if self.augmentation:
            self.augmentation.check(train)
        return DataSchedule(
            stages,
            BatchTransforms(
                self.deficits, self.augmentation, self.augmentation_during, self._epochs
            ),
        )

    def plan(self, trainer: Trainer) -> EpochPlan:
        """Return the epochs of a run by a trainer."""
        return EpochPlan(
            self.schedule,
            self.batch_size,
            self.drop_last,
            trainer.world_size,
            trainer.limit_train_batches,
            trainer.accumulate_grad_batches,
            trainer.max_epochs or 0,
            trainer.max_steps,
        )

    def check(self, trainer: Trainer, module: nn.Module) -> None:
        """Raise UserError for what a run of a module by a trainer could not train on or reach."""
        check_run(self.plan(trainer), trainer, module, self.splits.train.classes)

    @property
    def _epochs(self) -> int:
        return (self.trainer.max_epochs if self.trainer else None) or 1

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    @property
    def now(self) -> Position:
        """Where the run is."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        return Position(
            epoch,
            self.trainer.global_step if self.trainer else 0,
            self.schedule.stages.stage(epoch),
        )

    def context(self, split: Literal["train", "validation"], *stream_key: int) -> BatchContext:
        """Return where a batch stands that the key tells from all others of its split."""
        examples, normalisation = len(getattr(self.splits, split)), self.normalisation
        mean = normalisation.mean if normalisation else torch.empty(0, device=self.device)
        std = normalisation.std if normalisation else mean
        return BatchContext(self.seed, split, examples, self.num_classes, mean, std, stream_key)

    def prepare_data(self) -> None:
        """Read the splits, in one process first, so that errors show before a logger writes.

        Raises:
            UserError: for images that cannot be read, and for what the run would never reach or
                cannot train on.
        """
        if self.trainer and self.trainer.state.fn == "fit":
            self.check(self.trainer, self.trainer.lightning_module)
        _ = self.loaders, self.normalisation
        if not self.is_resident:
            for split in self.splits:
                # Reads every image once, and remembers it.
                if split.holds_images:
                    channel_histogram(split, False, self.workers)

    def _order(self, epoch: int) -> Tensor:
        """Return an epoch's examples in order; with `overfit_batches` the first epoch's."""
        overfits = self.trainer and self.trainer.overfit_batches  # type: ignore[attr-defined]  # set by a helper of Trainer
        return self.schedule.stages.order(0 if overfits else epoch)

    @cached_property
    def loaders(self) -> dict[str, EpochLoader]:
        """The loader of each split."""
        loaders = {
            name: EpochLoader(
                split,
                self.batch_size,
                self.device,
                resident=self.is_resident,
                workers=self.workers,
                rank=self._rank,
                ranks=self.trainer.world_size if self.trainer else 1,
                order=self._order if name == "train" else None,
                drop_last=self.drop_last,
            )
            for name, split in self.splits._asdict().items()
            if not (name == "validation" and split is self.splits.test)
        }
        return {"validation": loaders["test"], **loaders}

    def train_dataloader(self) -> EpochLoader:
        """Return the loader of the training split, set to the epoch that comes next."""
        if self.trainer:
            self._check_stages()
            self.loaders["train"].set_epoch(
                self._finished
            )  # right on every resume, unlike current_epoch
        return self.loaders["train"]

    def val_dataloader(self) -> EpochLoader | list[EpochLoader]:
        """Return the loader of the validation split, twice if it is measured with deficits too."""
        loader = self.loaders["validation"]
        return [loader, loader] if self.also_evaluate_with_deficit else loader

    def test_dataloader(self) -> EpochLoader:
        """Return the loader of the test split."""
        return self.loaders["test"]

    predict_dataloader = test_dataloader

    def training_pass(self) -> Iterator[Batch]:
        """Yield this rank's share of the training data again, as the network sees them now."""
        loader, now = copy.copy(self.loaders["train"]), self.now
        loader.epoch, loader.batch_index = now.epoch, 0
        for number, raw in enumerate(loader):
            on_device = Batch(*(part.to(self.device) for part in raw))
            batch = self.schedule.transforms.apply(
                on_device, self.context("train", now.epoch, -2 - number, self._rank), now
            )
            yield self._cast(batch._replace(inputs=self.normalise(batch.inputs)))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn pixels into what the network sees."""
        if self.trainer and self.trainer.training:
            now, loader = self.now, self.loaders["train"]
            self.schedule.record(now)
            context = self.context("train", loader.epoch, loader.batch_index, self._rank)
            batch = self.schedule.transforms.apply(batch, context, now)
        elif dataloader_idx == 1:
            context = self.context(
                "validation", self.now.epoch, self.loaders["validation"].batch_index, self._rank
            )
            batch = self.schedule.transforms.apply_all_deficits(batch, context)
        return self._cast(batch._replace(inputs=self.normalise(batch.inputs)))

    def _cast(self, batch: Batch) -> Batch:
        """Return a batch in the network's precision: a no-op except for `…-true` precisions."""
        cast: Any = self.trainer.precision_plugin.convert_input(batch) if self.trainer else batch
        return Batch(*cast)

    @property
    def _finished(self) -> int:
        progress: Any = self.trainer.fit_loop.epoch_progress.current  # type: ignore[union-attr]
        return int(progress.processed)

    def _check_stages(self) -> None:
        if self.schedule.stages.needs_decision(self._finished):
            if self.schedule.trained:
                raise UserError(
                    "until: nothing ends the stages",
                    problem="add callbacks.StageEnd() to the trainer's callbacks",
                )
            # A branch from a run that did not wait, or a checkpoint written before the accuracy was
            # known.
            self.schedule.stages.skip_decision(self._finished)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been shown so far."""
        return self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history of a checkpoint."""
        self.schedule.load_state_dict(state_dict)
