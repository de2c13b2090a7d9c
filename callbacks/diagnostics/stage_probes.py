"""Examples of the validation split as each data stage has them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from callbacks.diagnostics.probe import Probe, choose
from datamodules import ImageDataModule
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
