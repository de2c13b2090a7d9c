"""How training images look at each moment of a run: impaired, then augmented."""

from collections.abc import Sequence

import torch

from datamodules.loading.batch import Batch
from datamodules.transforms.augmentation import Augmentation
from datamodules.transforms.deficit import BatchContext, Deficit
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Levels, Position, Window


class BatchTransforms:
    """Deficits, in the order given, and then augmentation, each in its time.

    Args:
        deficits: what can be wrong.
        augmentation: applied after them; None is none.
        augmentation_during: when; None is always.
        epochs: epochs of the run.

    Attributes:
        augmentation_levels: the share of images that are augmented over time, for a callback to
            set; None is all.
    """

    def __init__(
        self,
        deficits: Sequence[Deficit],
        augmentation: Augmentation | None,
        augmentation_during: Window | None,
        epochs: int,
    ) -> None:
        self.deficits, self.augmentation, self.epochs = deficits, augmentation, epochs
        self.augmentation_during = augmentation_during
        self.augmentation_levels: Levels[float] | None = None
        self.names = [repr(deficit) for deficit in deficits]

    @property
    def windows(self) -> list[tuple[str, Window]]:
        """All windows, each with the name that YAML gives it."""
        named = [
            (f"{name}: during", deficit.during)
            for name, deficit in zip(self.names, self.deficits, strict=True)
        ]
        return named + (
            [("augmentation_during", self.augmentation_during)] if self.augmentation_during else []
        )

    def active_deficits(self, now: Position) -> list[Deficit]:
        """Return the active deficits."""
        return [deficit for deficit in self.deficits if deficit.during.open(now, self.epochs)]

    def active_names(self, now: Position) -> tuple[str, ...]:
        """Return the names of the active deficits."""
        named = zip(self.names, self.deficits, strict=True)
        return tuple(name for name, deficit in named if deficit.during.open(now, self.epochs))

    def augmented(self, now: Position) -> float:
        """Return the share of training images that are augmented."""
        if self.augmentation is None or not all(
            deficit.augmented for deficit in self.active_deficits(now)
        ):
            return 0.0
        if self.augmentation_during and not self.augmentation_during.open(now, self.epochs):
            return 0.0
        share = self.augmentation_levels.at(now, self.epochs) if self.augmentation_levels else None
        return 1.0 if share is None else share

    def apply(self, batch: Batch, context: BatchContext, now: Position) -> Batch:
        """Return a training batch as the network sees it at `now`, but for normalisation."""
        for deficit in self.active_deficits(now):
            batch = deficit(batch, context)
        share = self.augmented(now)
        if self.augmentation is None or share == 0:
            return batch
        inputs = self.augmentation(
            batch.inputs, context.mean, generator(context.seed, "augment", *context.stream_key)
        )
        if share < 1:
            draws = torch.rand(
                len(inputs),
                generator=generator(context.seed, "augment or not", *context.stream_key),
            )
            augmented = (draws < share).to(inputs.device).view(-1, *[1] * (inputs.ndim - 1))
            inputs = torch.where(augmented, inputs, batch.inputs)
        return batch._replace(inputs=inputs)

    def apply_all_deficits(self, batch: Batch, context: BatchContext) -> Batch:
        """Return a batch with every deficit, active or not, and not augmented."""
        for deficit in self.deficits:
            batch = deficit(batch, context)
        return batch
