"""A data set as a Lightning data module: batches on the training device, a function of seed, epoch, step and rank."""

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from datamodules.appearance import Appearance
from datamodules.augmentation import Augmentation
from datamodules.checks import check_run
from datamodules.course import Course
from datamodules.datasets import ImageDataset
from datamodules.deficits import Deficit, Scene
from datamodules.growth import Growth
from datamodules.loader import Batch, EpochLoader
from datamodules.splits_on_device import SplitsOnDevice
from datamodules.stages import Stages
from datamodules.statistics import channel_histogram
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
            the validation split with every deficit of the list, in force or not.
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
        dataset: ImageDataset,
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
    def course(self) -> Course:
        """What the network is shown over time."""
        train = self.splits.train
        stages = Stages(self.growth, train.labels, len(train.classes), self.seed, self._epochs)
        stages.check()
        for deficit in self.deficits:
            deficit.check(self.image_size, self.num_classes)
        return Course(
            stages,
            Appearance(self.deficits, self.augmentation, self.augmentation_during, self._epochs),
        )

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
            epoch, self.trainer.global_step if self.trainer else 0, self.course.stages.stage(epoch)
        )

    def scene(self, split: Literal["train", "validation"], *counters: int) -> Scene:
        """Return where a batch stands that the counters tell from all others of its split."""
        return Scene(
            self.seed,
            split,
            len(getattr(self.splits, split)),
            self.num_classes,
            *self.statistics,
            counters,
        )

    def prepare_data(self) -> None:
        """Read the splits, in one process first, so that whatever is wrong with them shows before a logger writes.

        Raises:
            UserError: for images that cannot be read, and for what the run would never reach or
                cannot train on.
        """
        if self.trainer and self.trainer.state.fn == "fit":
            check_run(self, self.trainer, self.trainer.lightning_module)
        _ = self.loaders, self.statistics
        if not self.is_resident:
            for split in self.splits:
                channel_histogram(
                    split, False, self.workers
                )  # reads every image once, and remembers it

    def _order(self, epoch: int) -> Tensor:
        """Return an epoch's examples in the order they are seen: with `overfit_batches` always the first epoch's."""
        same = self.trainer and self.trainer.overfit_batches  # type: ignore[attr-defined]  # set by a helper of Trainer
        return self.course.stages.order(0 if same else epoch)

    @cached_property
    def loaders(self) -> dict[str, EpochLoader]:
        """The loader of each split."""
        whole = {
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
        return {"validation": whole["test"], **whole}

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
        """Yield this rank's share of the present training data once more, as the network sees them now."""
        loader, now = copy.copy(self.loaders["train"]), self.now
        loader.epoch, loader.position = now.epoch, 0
        for number, raw in enumerate(loader):
            moved = Batch(*(part.to(self.device) for part in raw))
            batch = self.course.appearance.training(
                moved, self.scene("train", now.epoch, -2 - number, self._rank), now
            )
            yield self._cast(batch._replace(inputs=self.normalise(batch.inputs)))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn pixels into what the network sees."""
        if self.trainer and self.trainer.training:
            now, loader = self.now, self.loaders["train"]
            self.course.note(now)
            scene = self.scene("train", loader.epoch, loader.position, self._rank)
            batch = self.course.appearance.training(batch, scene, now)
        elif dataloader_idx == 1:
            scene = self.scene(
                "validation", self.now.epoch, self.loaders["validation"].position, self._rank
            )
            batch = self.course.appearance.impaired(batch, scene)
        return self._cast(batch._replace(inputs=self.normalise(batch.inputs)))

    def _cast(self, batch: Batch) -> Batch:
        """Return a batch in the precision of the network: a no-op but for `64-true`, `bf16-true` and `16-true`."""
        cast: Any = self.trainer.precision_plugin.convert_input(batch) if self.trainer else batch
        return Batch(*cast)

    @property
    def _finished(self) -> int:
        progress: Any = self.trainer.fit_loop.epoch_progress.current  # type: ignore[union-attr]
        return int(progress.processed)

    def _check_stages(self) -> None:
        if self.course.stages.waits(self._finished):
            if self.course.trained:
                raise UserError(
                    "until: nothing ends the stages",
                    problem="add callbacks.StageEnd() to the trainer's callbacks",
                )
            # A branch from a run that did not wait, or a checkpoint written before the accuracy was
            # known.
            self.course.stages.skip(self._finished)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been shown so far."""
        return self.course.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.course.load_state_dict(state_dict)
