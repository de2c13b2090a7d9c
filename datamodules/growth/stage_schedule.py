"""Which training examples exist in which epoch of a run."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from datamodules.growth.data_stages import DataStages
from datamodules.growth.permutations import epoch_permutation
from datamodules.growth.stages import GrowingStages, Stages
from datamodules.growth.waiting_stages import WaitingStages
from plasticity_lab.errors import UserError
from plasticity_lab.history import StageDecisions
from plasticity_lab.timing import Every, Position, Time


class StageSchedule:
    """The stages of the training data: their examples, and the epochs they begin with.

    Args:
        growth: how data change; None is one stage with everything.
        targets: (examples, …), of the training split.
        classes: number of classes; None for another task.
        seed: the run's seed.
    """

    def __init__(
        self, growth: DataStages | None, targets: Tensor, classes: int | None, seed: int
    ) -> None:
        if growth and growth.until and classes is None:
            raise UserError(
                "until",
                problem="ends a stage by train/accuracy, and the data have no classes",
                fix="set at: [times] instead",
            )
        self.growth, self.seed = growth, seed
        self.stages: Stages = (
            growth.arrange(targets, classes, seed)
            if growth
            else GrowingStages([torch.arange(len(targets))])
        )
        self._members = -1, torch.empty(0)  # of the stage last asked for
        self._asked = (-1, -1), (0, 0)  # stages of the epoch last asked for

    def count(self, epochs: int) -> int:
        """Return the number of stages in a run of so many epochs.

        Where stages wait for the network it is the most that there can be.
        """
        growth, count = self.growth, self.stages.count
        if growth is None or growth.until or (count is not None and not growth.every):
            return count or 1
        return growth.stage(Position(max(epochs - 1, 0), 0), epochs) + 1

    def size(self, stage: int) -> int:
        """Return the number of examples in a stage."""
        return self.stages.size(stage)

    def sizes(self, epochs: int) -> list[int]:
        """Return the number of examples in each stage of a run of so many epochs."""
        return [self.size(stage) for stage in range(self.count(epochs))]

    def shown(self, targets: Tensor, stage: int) -> Tensor | None:
        """Return the examples of another split that belong to a stage; None if all do.

        Args:
            targets: of that split.
            stage: the stage.
        """
        classes = self.stages.classes(stage) if self.stages.replaced else None
        return None if classes is None else torch.isin(targets, classes).nonzero().flatten()

    @property
    def waits(self) -> bool:
        """Whether stages wait for the network."""
        return self.growth is not None and self.growth.until is not None

    def position(self, epoch: int, step: int, epochs: int, decisions: StageDecisions) -> Position:
        """Return a position with the stage of its epoch.

        Args:
            epoch: the epoch.
            step: optimizer steps before it.
            epochs: epochs of the run.
            decisions: how stages that wait for the network have ended so far.
        """
        if self.growth is None:
            return Position(epoch, step)
        if self.waits:
            stage, ends = sum(start <= epoch for start in decisions.starts), False
        else:
            stage, following = self._stages(epoch, epochs)
            ends = following > stage and epoch + 1 < epochs
        return Position(epoch, step, stage, stage == self.count(epochs) - 1, ends)

    def _stages(self, epoch: int, epochs: int) -> tuple[int, int]:
        """Return the stage of an epoch and of the next one; those last asked for are kept."""
        if self._asked[0] != (epoch, epochs):
            growth = self.growth
            assert growth
            places = (Position(epoch, 0), Position(epoch + 1, 0))
            stage, following = (growth.stage(place, epochs) for place in places)
            self._asked = (epoch, epochs), (stage, following)
        return self._asked[1]

    def waiting(self, decisions: StageDecisions, epochs: int) -> WaitingStages | None:
        """Return the stages that wait for the network, in a run of so many epochs; None if none do.

        Args:
            decisions: how they have ended so far.
            epochs: the most epochs that the run has.
        """
        if self.growth is None or self.growth.until is None:
            return None
        return WaitingStages(self.growth.until, self.count(epochs), decisions, epochs)

    def order(self, now: Position, epochs: int) -> Tensor:
        """Return the examples of an epoch in order, int64 positions in the split."""
        if self.growth is None:
            return epoch_permutation(self.size(0), self.seed, now.epoch)
        return self.growth.order(self.members(now.stage), self.seed, now.epoch, epochs)

    def members(self, stage: int) -> Tensor:
        """Return the examples of a stage, sorted int64 positions in the split."""
        if self._members[0] != stage:
            self._members = stage, self.stages.members(stage)
        return self._members[1]

    def check(self) -> None:
        """Raise UserError unless every stage that adds to others adds something."""
        stages, growth = self.stages, self.growth
        if isinstance(stages, GrowingStages) and not all(len(added) for added in stages.added):
            raise UserError(
                f"growth: stages of {stages.sizes} examples",
                problem="each must add some",
                fix="set fewer stages",
            )
        if growth is None:
            return
        if growth.until and stages.count is None:
            raise UserError(
                "until",
                problem="the run ends with the last stage, and there are any number of them",
                fix="set stages, or recurrence: none, or at: [times] in place of until",
            )
        if growth.at is None or stages.count is None or stages.count == len(growth.at) + 1:
            return
        raise UserError(
            _written(growth.at),
            problem=(
                f"{stages.count} stages need {stages.count - 1} moments, when stages 1, 2, … begin"
            ),
        )

    def check_times(self, epochs: int) -> None:
        """Raise UserError unless every stage has, or may have, an epoch of a run of so many."""
        growth = self.growth
        if growth is None:
            return
        if growth.until:
            self._check_waiting(growth.until.last, epochs)
        elif growth.every:
            self._check_every(growth.every, epochs)
        else:
            self._check_moments(growth.at or [], epochs)

    def _check_waiting(self, last: Time | None, epochs: int) -> None:
        stages = self.count(epochs)
        if stages > epochs:
            raise UserError(
                "until",
                problem=f"{stages} stages never fit into {epochs} epochs",
                fix="set fewer stages, or more epochs",
            )
        if last and last.unit == "ep" and stages - 1 + last.number > epochs:
            raise UserError(
                "until: last",
                value=last,
                problem=f"with {stages - 1} stages before it more than max_epochs: {epochs}",
                fix="set a larger max_epochs, or a shorter last",
            )

    def _check_every(self, every: Every, epochs: int) -> None:
        begun, count = self.count(epochs), self.stages.count
        if every.number and begun > epochs:
            raise UserError(
                "every",
                value=every,
                problem=f"is less than one of {epochs} epochs, and a stage lasts whole epochs",
                fix="set a longer time",
            )
        if count is None and begun == 1:
            raise UserError(
                "every",
                value=every,
                problem=f"begins no second stage in {epochs} epochs",
                fix="set a shorter time, or a larger max_epochs",
            )
        if count is None or begun == count:
            return
        fix = f"set an every that makes {count} stages, or another max_epochs"
        if begun > count and isinstance(getattr(self.growth, "recurrence", None), str):
            fix = f"{fix}, or recurrence: cycle"
        raise UserError(
            "every",
            value=every,
            problem=f"makes {begun} stages of {epochs} epochs, and there are {count}",
            fix=fix,
        )

    def _check_moments(self, at: Sequence[Time], epochs: int) -> None:
        begins = [
            0,
            *(
                sum(not time.reached(Position(epoch, 0), epochs) for epoch in range(epochs))
                for time in at
            ),
            epochs,
        ]
        for stage, (start, next_start) in enumerate(pairwise(begins)):
            if start >= next_start:
                raise UserError(
                    _written(at),
                    problem=f"stage {stage} would have no epoch of {epochs}",
                    fix="set increasing times inside the run",
                )


def _written(at: Sequence[Time]) -> str:
    return f"at: [{', '.join(map(str, at))}]"
