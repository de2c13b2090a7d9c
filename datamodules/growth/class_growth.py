"""Training data that arrive class by class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datamodules.datasets.stratified import stratified
from datamodules.growth.base import Growth
from datamodules.growth.permutations import arrival_permutation
from datamodules.growth.stage_criterion import StageCriterion
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time

CLASS_ORDER = "growth, classes"
"""What keys the order in which classes arrive."""


class ClassGrowth(Growth):
    """Stages of which a part arrives uniformly and the rest class by class.

    Berariu et al. 2021, A.3, https://arxiv.org/abs/2106.00042.

    The classes are dealt, in an order keyed by the seed, to the stages as evenly as possible,
    earlier stages first. A share `uniform_fraction` of the examples is dealt to the stages
    regardless of class; the others arrive in the stage of their class.

    Args:
        stages: number of stages, the last with all examples.
        uniform_fraction: in [0, 1]; 1 is uniform growth, 0 is class by class.
        stratified: whether each class gives the same share to the uniform part and to each of its
            pieces; the paper says "random".
        at: as `DataStages`.
        until: as `DataStages`.
        every: as `DataStages`.

    Raises:
        UserError: for a share outside [0, 1], or more stages than classes unless all is uniform.
    """

    def __init__(
        self,
        stages: int,
        uniform_fraction: float,
        stratified: bool = False,
        at: list[Time] | None = None,
        until: StageCriterion | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, until, every)
        if stages < 1:
            raise UserError("stages", value=stages, fix="set 1 or more")
        if not 0 <= uniform_fraction <= 1:
            raise UserError("uniform_fraction", value=uniform_fraction, fix="set a share in [0, 1]")
        self.stages, self.uniform_fraction, self.stratified = stages, uniform_fraction, stratified

    def stage_indices(self, targets: Tensor, classes: int | None, seed: int) -> list[Tensor]:
        """Deal out the examples."""
        if classes is None:
            raise UserError(
                "growth",
                value=repr(self),
                problem="the data have no classes",
                fix="use UniformGrowth",
            )
        if self.uniform_fraction < 1 and self.stages > classes:
            raise UserError(
                "stages",
                value=self.stages,
                problem=f"there are {classes} classes to deal",
                fix="set fewer, or uniform_fraction: 1.0",
            )
        order = arrival_permutation(len(targets), seed)
        chosen = order[: round(self.uniform_fraction * len(targets))]
        if self.stratified:
            chosen = stratified(targets, len(chosen), generator(seed, "growth, uniform part"))
            chosen = order[torch.isin(order, chosen)]
            chosen = chosen[targets[chosen].argsort(stable=True)]
            uniform_groups = [chosen[stage :: self.stages] for stage in range(self.stages)]
        else:
            uniform_groups = list(chosen.tensor_split(self.stages))
        remaining = order[~torch.isin(order, chosen)]
        groups = self._groups(classes, seed)
        by_class = [remaining[torch.isin(targets[remaining], group)] for group in groups]
        return [torch.cat(parts) for parts in zip(uniform_groups, by_class, strict=True)]

    def classes_brought(self, classes: int | None, seed: int) -> Sequence[Tensor] | None:
        """Return the classes of each stage; None if some of each class arrive earlier."""
        return self._groups(classes, seed) if classes and not self.uniform_fraction else None

    def _groups(self, classes: int, seed: int) -> Sequence[Tensor]:
        order = torch.randperm(classes, generator=generator(seed, CLASS_ORDER))
        return order.tensor_split(self.stages)
