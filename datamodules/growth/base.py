"""Training data that arrive in stages."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from datamodules.growth.data_stages import DataStages
from datamodules.growth.stages import GrowingStages, Stages


class Growth(DataStages):
    """Data that grow: each stage adds examples to those before it.

    Your own: subclass, implement `stage_indices`, name the class in YAML.

    The data of stage k are a prefix of one permutation keyed by the seed, so stages contain those
    before them.

    Args:
        at: as `DataStages`.
        until: as `DataStages`.
        every: as `DataStages`.
    """

    @abstractmethod
    def stage_indices(self, targets: Tensor, classes: int | None, seed: int) -> list[Tensor]:
        """Return what each stage adds, int64 tensors of positions in the split.

        Each position stands there at most once, and every stage adds some.

        Args:
            targets: (examples, …), of the whole training split; of classes int64 (examples,).
            classes: number of classes; None for another task.
            seed: the run's seed.

        Raises:
            UserError: for settings that these data do not allow.
        """

    def classes_brought(self, classes: int | None, seed: int) -> Sequence[Tensor] | None:
        """Return the classes that each stage brings; None if stages have the same classes."""
        return None

    def arrange(self, targets: Tensor, classes: int | None, seed: int) -> Stages:
        """Return the stages, each with what came before it."""
        added = self.stage_indices(targets, classes, seed)
        return GrowingStages(added, self.classes_brought(classes, seed))
