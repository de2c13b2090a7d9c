"""How images look at each moment of a run: as their task has them, impaired, then augmented.

Deficits of sensors come last.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch

from datamodules.loading.batch import Batch
from datamodules.transforms.augmentation import Augmentation
from datamodules.transforms.context import BatchContext
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.stage_transform import StageTransform
from plasticity_lab.randomness import generator
from plasticity_lab.schedule import Answer, Timed

Doing: TypeAlias = Sequence[tuple[Timed, Answer]]
"""Parts of a run that do something at a moment, in order, each with what it does."""


class BatchTransforms:
    """What a stage's task makes of examples, then deficits, augmentation, and those of sensors.

    It knows no time: what each does at a moment is told by a `RunSchedule`.

    Args:
        deficits: what can be wrong, in the order in which it acts.
        augmentation: applied after them, but before those of sensors; None is none.
        of_stages: what tells one stage's task from another's, in the order in which it acts.
    """

    def __init__(
        self,
        deficits: Sequence[Deficit],
        augmentation: Augmentation | None,
        of_stages: Sequence[StageTransform] = (),
    ) -> None:
        self.deficits, self.augmentation = list(deficits), augmentation
        self.of_stages = list(of_stages)

    @property
    def parts(self) -> list[StageTransform | Deficit | Augmentation]:
        """All that acts over time, in order."""
        augmentation = [self.augmentation] if self.augmentation else []
        return [*self.of_stages, *self.deficits, *augmentation]

    def in_stage(self, batch: Batch, context: BatchContext, stage: int) -> Batch:
        """Return a batch of any split as the task of a stage has it."""
        for part in self.of_stages:
            batch = part(batch, context._replace(level=part.task(stage)))
        return batch

    def augmented(self, doing: Doing) -> float:
        """Return the share of training images that are augmented.

        Args:
            doing: the parts that do something, each with what it does.
        """
        share = 0.0
        for part, answer in doing:
            if isinstance(part, Deficit) and not part.augmented:
                return 0.0
            if part is self.augmentation and isinstance(answer, int | float):
                share = float(answer)
        return share

    def impair(self, batch: Batch, context: BatchContext, doing: Doing) -> Batch:
        """Return a batch with the deficits that do something."""
        for part, answer in doing:
            if isinstance(part, Deficit):
                level = None if answer is True else answer
                batch = part(batch, context._replace(level=level))
        return batch

    def augment(self, batch: Batch, context: BatchContext, doing: Doing) -> Batch:
        """Return a batch with the share of its images augmented that is augmented now."""
        share = self.augmented(doing)
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

    def apply(self, batch: Batch, context: BatchContext, doing: Doing) -> Batch:
        """Return a training batch of a task as the network sees it, but for normalisation."""
        of_images = [entry for entry in doing if not _is_of_sensors(entry[0])]
        of_sensors = [entry for entry in doing if _is_of_sensors(entry[0])]
        batch = self.impair(batch, context, of_images)
        batch = self.augment(batch, context, doing)
        return self.impair(batch, context, of_sensors)

    def apply_all_deficits(self, batch: Batch, context: BatchContext) -> Batch:
        """Return a batch with every deficit, active or not, and not augmented.

        One with `levels` has the first of its strengths that is not off.
        """
        return self.impair(
            batch, context, [(deficit, deficit.at_all_times) for deficit in self.deficits]
        )


def _is_of_sensors(part: Timed) -> bool:
    return isinstance(part, Deficit) and part.of_sensors
