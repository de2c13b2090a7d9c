"""Which examples each stage of the training data has."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class Stages(ABC):
    """The examples of each stage of one run's training split.

    Attributes:
        count: how many stages there are; None if there are as many as the run has time for.
        replaced: whether the examples of a stage are gone when the next one begins.
    """

    count: int | None
    replaced: bool = True

    @abstractmethod
    def members(self, stage: int) -> Tensor:
        """Return the examples of a stage, sorted int64 positions in the split."""

    def size(self, stage: int) -> int:
        """Return how many examples a stage has."""
        return len(self.members(stage))

    def classes(self, stage: int) -> Tensor | None:
        """Return the classes that a stage brings, int64; None if stages have the same classes."""
        return None

    def relabelled(self, targets: Tensor, stage: int) -> Tensor:
        """Return what targets are called in a stage."""
        return targets


class GrowingStages(Stages):
    """Stages that keep what was there before them.

    Args:
        added: what each stage adds, int64 positions in the split.
        brought: classes that each stage brings; None if stages have the same classes.
    """

    replaced = False

    def __init__(self, added: Sequence[Tensor], brought: Sequence[Tensor] | None = None) -> None:
        self.count = len(added)
        self.added, self._brought = added, brought
        self.sizes = torch.tensor([len(part) for part in added]).cumsum(0).tolist()

    def members(self, stage: int) -> Tensor:
        """Return all that has been added."""
        return torch.cat([*self.added[: stage + 1]]).sort().values

    def size(self, stage: int) -> int:
        """Return how many have been added."""
        size: int = self.sizes[stage]
        return size

    def classes(self, stage: int) -> Tensor | None:
        """Return the classes that came with the stage."""
        return self._brought[stage] if self._brought else None
