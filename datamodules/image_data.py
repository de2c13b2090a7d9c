"""A data set as a Lightning data module, with batches on the training device.

They are a function of seed, epoch, step and rank.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from datamodules.checks import check_run, check_shown
from datamodules.datasets.channel_statistics import channel_histogram
from datamodules.datasets.example_dataset import ExampleDataset
from datamodules.datasets.split import Split
from datamodules.epoch_plan import EpochPlan
from datamodules.examples_over_time import ExamplesOverTime
from datamodules.growth.data_stages import DataStages
from datamodules.growth.stages import GrowingStages
from datamodules.loading.batch import Batch, LoadedBatch
from datamodules.loading.loader import EpochLoader
from datamodules.transforms.augmentation import Augmentation
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.stage_transform import StageTransform
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


class ImageDataModule(ExamplesOverTime):
    """Image classification data whose content, order and augmentation follow the run's clock.

    A split is one uint8 tensor on the training device and a batch an index into it; deficits,
    augmentation and normalisation (with mean and standard deviation of the whole training split)
    run there on the whole batch. Splits that do not fit are read through workers, with
    bit-identical batches. Nothing is ever changed in a data set.

    It joins four things, each of which can be used alone: a data set, `stages` (which examples
    there are when), `transforms` (what they look like when) and a loader for each split.

    Args:
        dataset: where the images come from.
        batch_size: examples in a batch of one device.
        growth: how the training split arrives, or changes in stages; None is all at once.
        stage_transforms: what the examples of a stage look like or are called, in every split, in
            the order in which it acts.
        deficits: what is wrong with training batches for a while, in the order in which it acts.
        also_evaluate_with_deficit: measure `val_deficit/loss` and `val_deficit/accuracy` too: on
            the validation split with every deficit of the list, active or not.
        augmentation: applied to training batches after the deficits, in its time; None is none.
        drop_last: leave out an epoch's last, smaller training batch.
        resident: whether splits lie on the device; `auto` if all take at most half of its free
            memory.
        workers: worker processes for splits that are not resident.
        seed: the run's seed (`seed_everything`), set by train.py.

    Attributes:
        transforms: what training batches look like when.
        history: of the run that it is in.
    """

    def __init__(
        self,
        dataset: ExampleDataset,
        batch_size: int = 128,
        growth: DataStages | None = None,
        stage_transforms: list[StageTransform] | None = None,
        deficits: list[Deficit] | None = None,
        also_evaluate_with_deficit: bool = False,
        augmentation: Augmentation | None = None,
        drop_last: bool = False,
        resident: bool | Literal["auto"] = "auto",
        workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(
            dataset,
            batch_size,
            growth,
            stage_transforms or [],
            deficits or [],
            augmentation,
            drop_last,
            resident,
            workers,
            seed,
        )
        if also_evaluate_with_deficit and not deficits:
            raise UserError(
                "also_evaluate_with_deficit",
                value="true",
                problem="there are no deficits",
                fix="add some, or remove it",
            )
        self.also_evaluate_with_deficit = also_evaluate_with_deficit
        self._loaders: tuple[Any, dict[str, EpochLoader]] | None = None
        self._trained = False  # a batch, since the run began or was resumed

    @staticmethod
    def always_matters(arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the arguments whose parts matter at all times, whenever they are active.

        Validation may be with deficits that training does not have yet, or no longer.

        Args:
            arguments: of the constructor, as a config gives them.
        """
        return ("deficits",) if arguments.get("also_evaluate_with_deficit") else ()

    def plan(self, trainer: Trainer) -> EpochPlan:
        """Return the epochs of a run by a trainer."""
        return EpochPlan(
            self.stages,
            self.history.stages,
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
        plan = self.plan(trainer)
        check_run(plan, trainer, module, self.splits.train.classes)
        for name, split in (("validation", self.splits.validation), ("test", self.splits.test)):
            check_shown(plan, name, split)

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    def _evaluated(self, batch: Batch) -> Batch:
        """Return examples of the split that is evaluated as the present stage has them."""
        validates = self.trainer and (self.trainer.validating or self.trainer.sanity_checking)
        own = self.splits.validation is not self.splits.test
        return self.in_stage(batch, "validation" if validates and own else "test", self.shown_stage)

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
        return self.stages.order(self.position(0 if overfits else epoch, 0), self._epochs)

    def _shown(self, split: Split) -> Tensor | None:
        """Return the examples of a split that is evaluated in the present stage; None are all."""
        return self.stages.shown(split.targets, self.shown_stage)

    @property
    def loaders(self) -> dict[str, EpochLoader]:
        """The loader of each split, for the device and rank of the present trainer."""
        ranks = self.trainer.world_size if self.trainer else 1
        place = self.device, self._rank, ranks, self.is_resident
        if self._loaders is None or self._loaders[0] != place:
            self._loaders = place, self._build_loaders(ranks)
        return self._loaders[1]

    def _build_loaders(self, ranks: int) -> dict[str, EpochLoader]:
        loaders = {
            name: EpochLoader(
                split,
                self.batch_size,
                self.device,
                resident=self.is_resident,
                workers=self.workers,
                rank=self._rank,
                ranks=ranks,
                order=self._order if name == "train" else None,
                members=partial(self._shown, split) if name != "train" else None,
                drop_last=self.drop_last,
            )
            for name, split in self.splits._asdict().items()
            if not (name == "validation" and split is self.splits.test)
        }
        return {"validation": loaders["test"], **loaders}

    def train_dataloader(self) -> EpochLoader:
        """Return the loader of the training split, set to the epoch that comes next."""
        loader = self.loaders["train"]
        if self.trainer:
            self._check_stages()
            loader.set_epoch(self._finished)  # right on every resume, unlike current_epoch
        return loader

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
        loader, epoch = copy.copy(self.loaders["train"]), self.now.epoch
        loader.epoch, loader.batch_index = epoch, 0
        for loaded in loader:
            raw = loaded.on(self.device).batch
            batch = self.as_trained(raw, "training pass", epoch, loaded.number, self._rank)
            yield self._finish(batch)

    def arrivals(self) -> Iterator[tuple[int, Batch]]:
        """Yield this rank's share of the training data by the stage that brought them, in order.

        As the network sees them now, without augmentation: the number of the stage, and a batch, of
        which a rank's share may be empty.
        """
        now, ranks = self.now, self.trainer.world_size if self.trainer else 1
        stages = self.stages.stages
        brought = [self.stages.members(now.stage)]
        if isinstance(stages, GrowingStages):
            brought = list(stages.added[: now.stage + 1])
        for stage, members in enumerate(brought):
            for part in torch.split(members.sort().values, self.batch_size):
                stored = self._stored(part[self._rank :: ranks])
                yield stage, self._finish(self.impaired(stored, "arrivals", now))

    def drawn_batch(self, examples: int, purpose: str, *counters: int | str) -> Batch:
        """Return training examples of the present epoch as the network sees them now.

        Args:
            examples: how many, drawn uniformly without replacement; all, if there are no more.
            purpose: with the counters, keys the draw, augmentation included.
            counters: likewise.
        """
        members, draws = self._order(self.now.epoch), generator(self.seed, purpose, *counters)
        chosen = members[torch.randperm(len(members), generator=draws)[:examples]]
        return self._finish(self.as_trained(self._stored(chosen), purpose, *counters))

    def _stored(self, chosen: Tensor) -> Batch:
        """Return training examples as they are stored."""
        train = self.splits.train
        return Batch(
            train.__getitems__(chosen.tolist()).to(self.device),
            train.targets[chosen].to(self.device),
            chosen.to(self.device),
        )

    def on_after_batch_transfer(self, batch: LoadedBatch, dataloader_idx: int) -> Batch:
        """Turn pixels into what the network sees."""
        if self.trainer and self.trainer.training:
            self._trained = True
            return self._finish(self.as_trained(batch.batch, batch.epoch, batch.number, self._rank))
        examples = self._evaluated(batch.batch)
        if dataloader_idx == 1:
            context = self.context("validation", self.now.epoch, batch.number, self._rank)
            examples = self.transforms.apply_all_deficits(examples, context)
        return self._finish(examples)

    def _finish(self, batch: Batch) -> Batch:
        """Return a batch normalised, and in the network's precision.

        The latter is a no-op except for `…-true` precisions.
        """
        batch = batch._replace(inputs=self.normalise(batch.inputs))
        cast: Any = self.trainer.precision_plugin.convert_input(batch) if self.trainer else batch
        return Batch(*cast)

    @property
    def _finished(self) -> int:
        progress: Any = self.trainer.fit_loop.epoch_progress.current  # type: ignore[union-attr]
        return int(progress.processed)

    def _check_stages(self) -> None:
        waiting, finished = self.waiting, self._finished
        if waiting is None or not waiting.needs_decision(finished):
            return
        if self._trained:
            raise UserError(
                "until: nothing ends the stages",
                problem="add callbacks.StageEnd() to the trainer's callbacks",
            )
        # A branch from a run that did not wait, or a checkpoint written before the accuracy was
        # known.
        waiting.skip_decision(finished)
