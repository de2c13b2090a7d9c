"""Training data that arrive in stages."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.loader import training_order
from datamodules.naming import Named
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Epoch, Position, Time


@dataclass(frozen=True)
class Until:
    """When a stage has lasted long enough: with the first epoch that meets either condition.

    The last stage ends like the others (Ash & Adams 2020) or after a fixed time (Berariu et al.
    2021), and the run ends with it: arms that need different times for the stages before get the
    same training on all data. `max_epochs` is the longest that the run may last. It is also what
    times in `%` are shares of, and what a learning-rate schedule knows of the run's length (`T_max`
    of a cosine), wherever the run ends. What diagnostics measure after the last epoch they measure
    at `max_epochs` only: let them measure `every: 1ep`.

    Args:
        train_accuracy: the online accuracy of an epoch (`train/accuracy`) that ends it, in (0, 1].
        at_most: how long it may last, in epochs (`350ep`) or as a share of `max_epochs` (`30%`);
            None is without a limit.
        last: how long the last stage lasts instead, whatever its accuracy (`500ep`); `100%` is to
            `max_epochs`. None ends it by the conditions of the others.

    Raises:
        UserError: for values outside these ranges.
    """

    says_when: ClassVar[bool] = True

    train_accuracy: float
    at_most: Time | None = None
    last: Time | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.train_accuracy <= 1:
            raise UserError(
                "until: train_accuracy", value=self.train_accuracy, fix="set a share in (0, 1]"
            )
        for name, time in (("at_most", self.at_most), ("last", self.last)):
            if time and (time.unit not in ("ep", "%") or time.number == 0):
                raise UserError(
                    f"until: {name}",
                    value=time,
                    problem="a stage lasts whole epochs",
                    fix="set '350ep' or '30%'",
                )

    @property
    def to_the_cap(self) -> bool:
        """Whether the run is meant to last to `max_epochs`."""
        return str(self.last) == "100%"

    def met(self, lasted: int, train_accuracy: float, is_last: bool, epochs: int) -> bool:
        """Return whether a stage has lasted long enough.

        Args:
            lasted: epochs that have been trained in it.
            train_accuracy: online accuracy of the last of them, in [0, 1].
            is_last: whether it is the last stage.
            epochs: `max_epochs` of the run.
        """
        now = Position(lasted, 0)
        if lasted == 0:
            return False
        if is_last and self.last:
            return self.last.reached(now, epochs)
        return train_accuracy >= self.train_accuracy or bool(
            self.at_most and self.at_most.reached(now, epochs)
        )


class Growth(Named, ABC):
    """How the training split becomes the data of an epoch. Your own: subclass, implement `increments`, name the class in YAML.

    The data of stage k are a prefix of one permutation keyed by the seed, so stages contain those
    before them. Validation, test and the statistics of normalisation are those of the whole data
    from the start. Epochs are as long as their stage; schedules count epochs. (Lightning's
    `trainer.estimated_stepping_batches` takes the first epoch's length for all.)

    Args:
        at: when stages 1, 2, … begin, with an epoch each.
        until: in place of `at`, what ends each stage; the next one begins, and after the last the
            run ends.

    Raises:
        UserError: if both or neither are given, or a time is not the start of an epoch.
    """

    def __init__(self, at: list[Time] | None = None, until: Until | None = None) -> None:
        if (at is None) == (until is None):
            raise UserError(
                "growth",
                fix="set either at: [times], when stages 1, 2, … begin, or until: {train_accuracy: …}",
            )
        for time in at or []:
            if time.unit not in ("ep", "%"):
                raise UserError(
                    "at",
                    value=time,
                    problem="a stage begins with an epoch",
                    fix="set '80ep' or '50%'",
                )
        self.at, self.until = at, until

    @abstractmethod
    def increments(self, labels: Tensor, classes: int, seed: int) -> list[Tensor]:
        """Return what each stage adds, int64 tensors of positions in the split, each at least once and none twice.

        Args:
            labels: int64 (examples,), of the whole training split.
            classes: number of classes.
            seed: the run's seed.

        Raises:
            UserError: for settings that these data do not allow.
        """

    def stage(self, epoch: int, epochs: int) -> int:
        """Return the stage of an epoch, for growth by `at`."""
        return sum(time.reached(Position(epoch, 0), epochs) for time in self.at or [])

    def in_force(self, epoch: Epoch) -> str:
        """Return what exists in an epoch, by which studies tell whether two runs can share it."""
        return (
            f"{self!r}: stage {epoch.now.stage}"
            if self.until is None
            else f"{self!r} until {self.until} of {epoch.epochs} epochs"
        )

    def order(self, members: Tensor, seed: int, epoch: int, epochs: int) -> Tensor:
        """Return the examples of an epoch in the order they are seen, as many as there are members.

        Args:
            members: int64, the positions that exist in its stage, sorted.
            seed: the run's seed.
            epoch: the epoch.
            epochs: epochs of the run.
        """
        return members[training_order(len(members), seed, epoch)]


def permutation(count: int, seed: int) -> Tensor:
    """Return the order in which examples arrive, int64 (count,)."""
    return torch.randperm(count, generator=generator(seed, "growth"))


class UniformGrowth(Growth):
    """Stages of increasing size, drawn uniformly: warm starts (Ash & Adams 2020, Fig. 1 and 2; Berariu et al. 2021, Fig. 1 and 4).

    Args:
        fractions: share of the split in each stage, increasing in (0, 1]; `[1.0]` is the identity.
        counts: in its place, examples in each stage.
        step: in its place, examples that each stage adds until all are there.
        at: as `Growth`; with `step`, as many stages as it has moments, and one.
        until: as `Growth`.

    Raises:
        UserError: unless exactly one of `fractions`, `counts`, `step` is given and it grows.
    """

    def __init__(
        self,
        fractions: list[float] | None = None,
        counts: list[int] | None = None,
        step: int | None = None,
        at: list[Time] | None = None,
        until: Until | None = None,
    ) -> None:
        super().__init__(at, until)
        if sum(given is not None for given in (fractions, counts, step)) != 1:
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

    def in_force(self, epoch: Epoch) -> str:
        """Return the sizes so far: what comes later makes no difference."""
        given = self.fractions or self.counts
        known = given and self.until is None
        return (
            f"UniformGrowth: {given[: epoch.now.stage + 1]}"
            if given and known
            else super().in_force(epoch)
        )

    def increments(self, labels: Tensor, classes: int, seed: int) -> list[Tensor]:
        """Cut the permutation at the stages' sizes."""
        sizes = self.sizes(len(labels))
        return list(permutation(len(labels), seed)[: sizes[-1]].tensor_split(sizes[:-1]))

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
