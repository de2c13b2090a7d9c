"""Training data that arrive uniformly."""

from torch import Tensor

from datamodules.growth.base import Growth
from datamodules.growth.permutations import arrival_permutation
from datamodules.growth.stage_criterion import StageCriterion
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer
from plasticity_lab.timing import Position, Time


class UniformGrowth(Growth):
    """Stages of increasing size, drawn uniformly: warm starts.

    Ash & Adams 2020, Fig. 1 and 2, https://arxiv.org/abs/1910.08475; Berariu et al. 2021, Fig. 1
    and 4, https://arxiv.org/abs/2106.00042.

    Args:
        fractions: share of the split in each stage, increasing in (0, 1]; `[1.0]` is the identity.
        counts: in place of `fractions`, number of examples in each stage.
        step: in place of `fractions`, number of examples that each stage adds until all are there.
        at: as `DataStages`; with `step`, there is one stage more than moments.
        until: as `DataStages`.
        every: as `DataStages`.

    Raises:
        UserError: unless exactly one of `fractions`, `counts`, `step` is given and it grows.
    """

    told_by_answers = ("fractions", "counts")

    def __init__(
        self,
        fractions: list[float] | None = None,
        counts: list[int] | None = None,
        step: int | None = None,
        at: list[Time] | None = None,
        until: StageCriterion | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, until, every)
        if sum(setting is not None for setting in (fractions, counts, step)) != 1:
            raise UserError(
                "growth",
                fix="set one of fractions: [0.5, 1.0], counts: [1000, 2000] or step: 1000",
            )
        if step is not None and step < 1:
            raise UserError("step", value=step, fix="set 1 or more examples")
        for name, sizes in (("fractions", fractions), ("counts", counts)):
            if (
                sizes is not None and list(sizes) != sorted({size for size in sizes if size > 0})
            ) or sizes == []:
                raise UserError(
                    name,
                    value=sizes,
                    problem="stages must grow",
                    fix="set increasing numbers above 0",
                )
        if fractions and fractions[-1] > 1:
            raise UserError(
                "fractions", value=fractions, problem="a share of the training split is at most 1.0"
            )
        self.fractions, self.counts, self.step = fractions, counts, step

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the sizes so far: what comes later makes no difference."""
        stage = self.stage(now, epochs)
        if self.fractions:
            return f"fractions {self.fractions[: stage + 1]}"
        return f"counts {self.counts[: stage + 1]}" if self.counts else stage

    def stage_indices(self, targets: Tensor, classes: int | None, seed: int) -> list[Tensor]:
        """Cut the permutation at the stages' sizes."""
        sizes = self.sizes(len(targets))
        return list(arrival_permutation(len(targets), seed)[: sizes[-1]].tensor_split(sizes[:-1]))

    def sizes(self, examples: int) -> list[int]:
        """Return the number of examples in each stage."""
        if self.counts:
            if self.counts[-1] > examples:
                raise UserError(
                    "counts", value=self.counts, problem=f"there are {examples} training examples"
                )
            return self.counts
        if self.fractions:
            sizes = [round(fraction * examples) for fraction in self.fractions]
            if sizes != sorted({size for size in sizes if size > 0}):
                raise UserError(
                    "fractions",
                    value=self.fractions,
                    problem=f"of {examples} training examples these are {sizes}, which do not grow",
                )
            return sizes
        step = self.step or examples
        stages = -(-examples // step) if self.at is None else len(self.at) + 1
        if (stages - 1) * step >= examples:
            raise UserError(
                "step",
                value=step,
                problem=f"{stages} stages of it are more than the {examples} training examples",
                fix="set fewer times",
            )
        return [min(stage * step, examples) for stage in range(1, stages + 1)]
