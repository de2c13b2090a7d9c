"""A stream of examples regardless of class."""

from torch import Tensor

from datamodules.growth.permutations import ARRIVAL
from datamodules.growth.stage_criterion import StageCriterion
from datamodules.growth.stages import Stages
from datamodules.growth.stream import Passes, Recurrence, Stream, check_overlap
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


class ExampleStream(Stream):
    """Each stage has other examples, drawn uniformly: a window that moves over the split.

    Args:
        count: examples of a stage; the number in the whole split is the identity.
        overlap: how many of them the stage before has, too.
        recurrence: what follows once no further window fits: `none`, `cycle` (the same stages
            again) or `redraw` (others, from another permutation). What fills no window is left out
            until then.
        at: as `DataStages`.
        until: as `DataStages`.
        every: as `DataStages`.

    Raises:
        UserError: for a stage that is empty, or larger than the split; for more stages than there
            are examples for, without recurrence.

    Example:
        ```yaml
        class_path: datamodules.ExampleStream
        init_args: {count: 500, overlap: 250, recurrence: cycle, every: 5ep}
        ```
    """

    def __init__(
        self,
        count: int,
        overlap: int = 0,
        recurrence: Recurrence = "none",
        at: list[Time] | None = None,
        until: StageCriterion | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, until, every)
        if count < 1:
            raise UserError("count", value=count, fix="set 1 or more examples")
        check_overlap(overlap, count)
        self.count, self.overlap, self.recurrence = count, overlap, recurrence

    def arrange(self, targets: Tensor, classes: int | None, seed: int) -> Stages:
        """Return a window of the arrival order for each stage."""
        if self.count > len(targets):
            raise UserError(
                "count", value=self.count, problem=f"there are {len(targets)} training examples"
            )
        return _Windows(
            Passes(ARRIVAL, len(targets), self.count, self.overlap, self.recurrence, seed)
        )


class _Windows(Stages):
    def __init__(self, passes: Passes) -> None:
        self.passes, self.count = passes, passes.count

    def members(self, stage: int) -> Tensor:
        return self.passes.window(stage).sort().values

    def size(self, stage: int) -> int:
        return self.passes.size
