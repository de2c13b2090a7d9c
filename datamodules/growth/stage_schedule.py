"""Which training examples exist in which epoch of a run."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from datamodules.growth.base import Growth
from datamodules.growth.permutations import epoch_permutation
from datamodules.growth.waiting_stages import WaitingStages
from plasticity_lab.errors import UserError
from plasticity_lab.history import StageDecisions
from plasticity_lab.timing import Position, Time


class StageSchedule:
    """The stages of the training data: their examples, and the epochs they begin with.

    Args:
        growth: how data grow; None is one stage with everything.
        targets: (examples, …), of the training split.
        classes: number of classes; None for another task.
        seed: the run's seed.

    Attributes:
        sizes: number of examples in each stage.
    """

    def __init__(
        self, growth: Growth | None, targets: Tensor, classes: int | None, seed: int
    ) -> None:
        if growth and growth.until and classes is None:
            raise UserError(
                "until",
                problem="ends a stage by train/accuracy, and the data have no classes",
                fix="set at: [times] instead",
            )
        self.growth, self.seed = growth, seed
        self._added = (
            growth.stage_indices(targets, classes, seed) if growth else [torch.arange(len(targets))]
        )
        self.sizes = torch.tensor([len(added) for added in self._added]).cumsum(0).tolist()
        self._members = -1, torch.empty(0)  # of the stage last asked for
        self._asked = (-1, -1), (0, 0)  # stages of the epoch last asked for

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
        return Position(epoch, step, stage, stage == len(self.sizes) - 1, ends)

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
        return WaitingStages(self.growth.until, len(self.sizes), decisions, epochs)

    def order(self, now: Position, epochs: int) -> Tensor:
        """Return the examples of an epoch in order, int64 positions in the split."""
        if self.growth is None:
            return epoch_permutation(self.sizes[0], self.seed, now.epoch)
        return self.growth.order(self.members(now.stage), self.seed, now.epoch, epochs)

    def members(self, stage: int) -> Tensor:
        """Return the examples of a stage, sorted int64 positions in the split."""
        if self._members[0] != stage:
            self._members = stage, torch.cat(self._added[: stage + 1]).sort().values
        return self._members[1]

    def check(self) -> None:
        """Raise UserError unless every stage adds something and has its moment."""
        if not all(len(added) for added in self._added):
            raise UserError(
                f"growth: stages of {self.sizes} examples",
                problem="each must add some",
                fix="set fewer stages",
            )
        at = self.growth.at if self.growth else []
        if at is not None and len(at) != len(self.sizes) - 1:
            raise UserError(
                _written(at),
                problem=(
                    f"{len(self.sizes)} stages need {len(self.sizes) - 1} moments, when "
                    f"stages 1, 2, … begin"
                ),
            )

    def check_times(self, epochs: int) -> None:
        """Raise UserError unless every stage has, or may have, an epoch of a run of so many."""
        if self.growth is None:
            return
        at = self.growth.at or []
        if self.waits and len(self.sizes) > epochs:
            raise UserError(
                "until",
                problem=f"{len(self.sizes)} stages never fit into {epochs} epochs",
                fix="set fewer stages, or more epochs",
            )
        last = self.growth.until and self.growth.until.last
        if last and last.unit == "ep" and len(self.sizes) - 1 + last.number > epochs:
            raise UserError(
                "until: last",
                value=last,
                problem=(
                    f"with {len(self.sizes) - 1} stages before it more than max_epochs: {epochs}"
                ),
                fix="set a larger max_epochs, or a shorter last",
            )
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
