"""Examples of the validation split as each data stage has them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from callbacks.probe import Probe, choose
from datamodules import ImageDataModule
from datamodules.transforms.label_tasks import LabelTransform
from plasticity_lab.randomness import generator


@dataclass(frozen=True)
class StageProbes:
    """Probes of data stages, present and past.

    Attributes:
        data: what the run is trained on; its seed keys the choice of examples.
    """

    data: ImageDataModule

    @property
    def differ(self) -> bool:
        """Whether the examples of one stage are not those of another."""
        return self.by_class or bool(self.data.transforms.of_stages)

    @property
    def by_class(self) -> bool:
        """Whether stages bring classes of their own."""
        return self.classes(0) is not None

    @property
    def relabelled(self) -> bool:
        """Whether a class may have another name in another stage."""
        by_task = any(isinstance(part, LabelTransform) for part in self.data.transforms.of_stages)
        return by_task or self.data.num_outputs != len(self.data.splits.train.classes)

    def without_examples(self, stages: int) -> str | None:
        """Return the name of a class that comes in so many stages and cannot be tested."""
        seen = self.seen_classes(stages - 1)
        if seen is None:
            return None
        missing = seen[~torch.isin(seen, self.data.splits.validation.targets)]
        return self.data.splits.train.classes[int(missing[0])] if len(missing) else None

    def kind(self, stage: int) -> tuple[Any, ...]:
        """Return what two stages have in common that are tested on the same images and labels."""
        classes = self.classes(stage)
        order = [] if classes is None else classes.tolist()
        # Where they are numbered by their order, another order is another task.
        known = order if self.relabelled else sorted(order)
        return tuple(known), tuple(part.task(stage) for part in self.data.transforms.of_stages)

    def classes(self, stage: int) -> Tensor | None:
        """Return the classes that a stage brings; None if stages have the same classes."""
        return self.data.stages.stages.classes(stage)

    def seen_classes(self, stage: int) -> Tensor | None:
        """Return all classes that have come by a stage, sorted; None if stages have the same."""
        brought = [self.classes(earlier) for earlier in range(stage + 1)]
        known = [classes for classes in brought if classes is not None]
        return torch.unique(torch.cat(known)) if known else None

    def of_stage(self, stage: int, examples: int) -> Probe:
        """Choose examples of the classes that a stage brings, as that stage has them.

        Args:
            stage: the stage.
            examples: how many; all, if there are no more.
        """
        return self._probe(stage, self.classes(stage), examples)

    def of_seen_classes(self, stage: int, examples: int) -> Probe:
        """Choose examples of all classes that have come by a stage, as that stage has them."""
        return self._probe(stage, self.seen_classes(stage), examples)

    def _probe(self, stage: int, classes: Tensor | None, examples: int) -> Probe:
        data, split = self.data, self.data.splits.validation
        members = None
        if classes is not None:
            members = torch.isin(split.targets, classes).nonzero().flatten()
        stored = choose(data, split, members, examples, generator(data.seed, "stage probe"))
        own = split is not data.splits.test
        batch = data.in_stage(stored, "validation" if own else "test", stage)
        return Probe(data.normalise(batch.inputs), batch.targets, batch.indices)
