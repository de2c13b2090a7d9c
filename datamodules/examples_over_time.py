"""A data set's examples at each moment of a run: which there are, and what they look like."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from datamodules.datasets.example_dataset import ExampleDataset
from datamodules.growth.data_stages import DataStages
from datamodules.growth.stage_schedule import StageSchedule
from datamodules.growth.waiting_stages import WaitingStages
from datamodules.loading.batch import Batch
from datamodules.loading.splits_on_device import SplitsOnDevice
from datamodules.transforms.augmentation import Augmentation
from datamodules.transforms.batch_transforms import BatchTransforms
from datamodules.transforms.context import BatchContext
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.label_tasks import LabelTransform
from datamodules.transforms.stage_transform import StageTransform
from plasticity_lab.history import RunHistory
from plasticity_lab.schedule import RunSchedule, Timed
from plasticity_lab.timing import Position

SplitName: TypeAlias = Literal["train", "validation", "test"]


class ExamplesOverTime(SplitsOnDevice):
    """The splits of a data set, and what acts on them over time.

    Args:
        dataset: as `ImageDataModule`.
        batch_size: as `ImageDataModule`.
        growth: as `ImageDataModule`.
        stage_transforms: as `ImageDataModule`.
        deficits: as `ImageDataModule`.
        augmentation: as `ImageDataModule`.
        drop_last: as `ImageDataModule`.
        resident: as `ImageDataModule`.
        workers: as `ImageDataModule`.
        seed: the run's seed.

    Attributes:
        transforms: what training batches look like when.
        history: of the run that it is in.
    """

    def __init__(
        self,
        dataset: ExampleDataset,
        batch_size: int,
        growth: DataStages | None,
        stage_transforms: Sequence[StageTransform],
        deficits: Sequence[Deficit],
        augmentation: Augmentation | None,
        drop_last: bool,
        resident: bool | Literal["auto"],
        workers: int,
        seed: int,
    ) -> None:
        super().__init__(dataset, batch_size, drop_last, resident, workers, seed)
        self.growth = growth
        self.transforms = BatchTransforms(deficits, augmentation, stage_transforms)
        self.history = RunHistory()

    def timed_parts(self) -> list[Timed]:
        """Return what acts over time in the data, in the order in which it acts."""
        return [*([self.growth] if self.growth else []), *self.transforms.parts]

    @property
    def schedule(self) -> RunSchedule:
        """What acts over time in the data, in the run of the present trainer."""
        return RunSchedule(self.timed_parts(), self._epochs)

    @cached_property
    def stages(self) -> StageSchedule:
        """Which training examples there are when."""
        train = self.splits.train
        stages = StageSchedule(self.growth, train.targets, len(train.classes) or None, self.seed)
        stages.check()
        for part in self.transforms.parts:
            part.check(train)
        return stages

    @property
    def num_classes(self) -> int | None:
        """Number of classes that a network tells apart; None if the task is not classification."""
        classes = super().num_classes
        return self.growth.num_classes(classes) if self.growth else classes

    @property
    def num_outputs(self) -> int:
        """Outputs that a network needs: classes, or numbers in a target."""
        return self.num_classes or super().num_outputs

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes that a network tells apart; numbers where stages relabel them."""
        names = self.splits.train.classes
        classes = self.num_classes
        return names if classes in (None, len(names)) else [*map(str, range(classes))]

    @property
    def differs_by_stage(self) -> bool:
        """Whether an example of one stage is none of another, or has another look or target."""
        return bool(self.stages.stages.replaced or self.transforms.of_stages)

    @property
    def waiting(self) -> WaitingStages | None:
        """The stages that wait for the network; None if none do."""
        return self.stages.waiting(self.history.stages, self._epochs)

    @property
    def _epochs(self) -> int:
        return (self.trainer.max_epochs if self.trainer else None) or 1

    @property
    def now(self) -> Position:
        """Where the run is."""
        if self.trainer is None:
            return self.position(0, 0)
        return self.position(self.trainer.current_epoch, self.trainer.global_step)

    def position(self, epoch: int, step: int) -> Position:
        """Return a position with the data stage of its epoch, as far as that is known."""
        return self.stages.position(epoch, step, self._epochs, self.history.stages)

    @property
    def shown_stage(self) -> int:
        """The data stage that validation and test split show: that of the last batch trained."""
        last = self.history.last
        if last is None:
            last = self.position(min(self.now.epoch, self._epochs - 1), 0)
        return last.stage

    def context(self, split: SplitName, *stream_key: int | str) -> BatchContext:
        """Return where a batch stands that the key tells from all others of its split."""
        examples, normalisation = len(getattr(self.splits, split)), self.normalisation
        mean = normalisation.mean if normalisation else torch.empty(0, device=self.device)
        std = normalisation.std if normalisation else mean
        return BatchContext(self.seed, split, examples, self.num_classes, mean, std, stream_key)

    def in_stage(self, batch: Batch, split: SplitName, stage: int) -> Batch:
        """Return examples of a split as a data stage has them: a task of its own, perhaps.

        Args:
            batch: the examples, as they are stored.
            split: which they are of.
            stage: the stage.
        """
        targets = self.stages.stages.relabelled(batch.targets, stage)
        batch = batch._replace(targets=targets)
        if not self.transforms.of_stages:
            return batch
        return self.transforms.in_stage(batch, self.context(split), stage)

    def labels_in_stage(self, indices: Tensor, stage: int) -> Tensor:
        """Return the labels of training examples as a data stage has them, without deficits.

        Args:
            indices: of the examples, int64 (examples,).
            stage: the stage.
        """
        targets = self.splits.train.targets.to(indices.device)[indices]
        batch = Batch(torch.empty(len(indices), 0), targets, indices)
        batch = batch._replace(targets=self.stages.stages.relabelled(targets, stage))
        for part in self.transforms.of_stages:
            if isinstance(part, LabelTransform):
                batch = part(batch, self.context("train")._replace(level=part.task(stage)))
        return batch.targets

    def impaired(self, batch: Batch, purpose: str, now: Position) -> Batch:
        """Return training examples of the stage with the deficits that are active at `now`.

        Args:
            batch: the examples, as they are stored.
            purpose: what they are looked at for, by which draws differ from those of training.
            now: where the run is.
        """
        context = self.context("train", purpose, now.epoch)
        doing = self.schedule.doing(self.history.last, now)
        return self.transforms.impair(self.in_stage(batch, "train", now.stage), context, doing)

    def as_trained(self, batch: Batch, *stream_key: int | str) -> Batch:
        """Return training examples as the network sees them now, but for normalisation.

        Args:
            batch: the examples, as they are stored.
            stream_key: what keys the draws.
        """
        context = self.context("train", *stream_key)
        now = self.now
        doing = self.schedule.doing(self.history.last, now)
        return self.transforms.apply(self.in_stage(batch, "train", now.stage), context, doing)
