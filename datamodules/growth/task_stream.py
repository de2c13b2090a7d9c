"""Tasks on the same examples."""

import torch
from torch import Tensor

from datamodules.growth.stage_criterion import StageCriterion
from datamodules.growth.stages import Stages
from datamodules.growth.stream import Stream
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


class TaskStream(Stream):
    """All examples in every stage: what changes is what they look like, or are called.

    That is for the data module's `stage_transforms` to say: permuted pixels (Dohare et al. 2024,
    https://doi.org/10.1038/s41586-024-07711-7), other labels (Kumar et al. 2024,
    https://arxiv.org/abs/2308.11958), random labels (Lyle et al. 2023,
    https://arxiv.org/abs/2303.01486).

    Args:
        stages: number of stages; None is as many as the run has time for.
        at: as `DataStages`.
        until: as `DataStages`; needs `stages`.
        every: as `DataStages`.

    Raises:
        UserError: for no stage, or stages of no known number that wait for the network.

    Example:
        ```yaml
        class_path: datamodules.TaskStream
        init_args: {every: 1ep}
        ```
    """

    def __init__(
        self,
        stages: int | None = None,
        at: list[Time] | None = None,
        until: StageCriterion | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, until, every)
        if stages is not None and stages < 1:
            raise UserError("stages", value=stages, fix="set 1 or more")
        self.stages = stages

    def arrange(self, targets: Tensor, classes: int | None, seed: int) -> Stages:
        """Return stages with all examples each."""
        return _AllExamples(self.stages, len(targets))


class _AllExamples(Stages):
    def __init__(self, count: int | None, examples: int) -> None:
        self.count, self._all = count, torch.arange(examples)

    def members(self, stage: int) -> Tensor:
        return self._all
