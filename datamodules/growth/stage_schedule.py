"""Which training examples exist in which epoch of a run."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from datamodules.growth.base import Growth
from datamodules.growth.permutations import epoch_permutation
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Position


class StageSchedule:
    """The stages of a run: their examples, and the epochs they begin with.

    Args:
        growth: how data grow; None is one stage with everything.
        targets: (examples, …), of the training split.
        classes: number of classes; None for another task.
        seed: the run's seed.
        epochs: epochs of the run.

    Attributes:
        sizes: number of examples in each stage.
        stage_starts: where stages wait for the network, the first epoch of those after stage 0 that
            have begun.
    """

    def __init__(
        self, growth: Growth | None, targets: Tensor, classes: int | None, seed: int, epochs: int
    ) -> None:
        if growth and growth.until and classes is None:
            raise UserError(
                "until",
                problem="ends a stage by train/accuracy, and the data have no classes",
                fix="set at: [times] instead",
            )
        self.growth, self.seed, self.epochs = growth, seed, epochs
        self._added = (
            growth.stage_indices(targets, classes, seed) if growth else [torch.arange(len(targets))]
        )
        self.sizes = torch.tensor([len(added) for added in self._added]).cumsum(0).tolist()
        self.stage_starts: list[int] = []
        self._decided = 0
        self._accuracy: float | None = None
        self._at = growth.at if growth else []
        self._members = -1, torch.empty(0)  # of the stage last asked for
        self._shown = f"at: [{', '.join(map(str, self._at or []))}]"

    @property
    def waits(self) -> bool:
        """Whether stages wait for the network."""
        return self._at is None

    def stage(self, epoch: int) -> int:
        """Return the stage of an epoch; where stages wait for the network, as far as is known."""
        if self._at is None:
            return sum(start <= epoch for start in self.stage_starts)
        return self.growth.stage(epoch, self.epochs) if self.growth else 0

    def order(self, epoch: int) -> Tensor:
        """Return the examples of an epoch in order, int64 positions in the split."""
        if self.growth is None:
            return epoch_permutation(self.sizes[0], self.seed, epoch)
        members = self.members(self.stage(epoch))
        return self.growth.order(members, self.seed, epoch, self.epochs)

    def members(self, stage: int) -> Tensor:
        """Return the examples of a stage, sorted int64 positions in the split."""
        if self._members[0] != stage:
            self._members = stage, torch.cat(self._added[: stage + 1]).sort().values
        return self._members[1]

    def needs_decision(self, finished: int) -> bool:
        """Whether `advance` has not been called yet after the last of `finished` epochs."""
        return bool(self.growth and self.growth.until and finished > self._decided)

    def advance(self, finished: int, train_accuracy: float) -> None:
        """Begin the next stage after `finished` epochs if the present one has lasted long enough.

        Args:
            finished: epochs that have been trained.
            train_accuracy: online accuracy of the last of them, in [0, 1].
        """
        self._decided, self._accuracy = finished, train_accuracy
        if not self._in_last and self._long_enough:
            self.stage_starts.append(finished)

    def skip_decision(self, finished: int) -> None:
        """Leave open whether the stage ends after `finished` epochs, as no accuracy is known."""
        self._decided, self._accuracy = finished, None

    @property
    def ended(self) -> bool:
        """Whether the last stage has lasted long enough, with which the run ends.

        It is no memory of its own: a branch from the end of a run, with a last stage that lasts
        longer, goes on.
        """
        return self._in_last and self._long_enough

    def cut_off(self, finished: int) -> bool:
        """Return whether `max_epochs` came before the end of the last stage."""
        until = self.growth and self.growth.until
        return bool(until and not until.to_the_cap and finished >= self.epochs and not self.ended)

    @property
    def _in_last(self) -> bool:
        return len(self.stage_starts) >= len(self.sizes) - 1

    @property
    def _long_enough(self) -> bool:
        until = self.growth and self.growth.until
        if not until or self._accuracy is None:
            return False
        lasted = self._decided - max(self.stage_starts, default=0)
        return until.met(lasted, self._accuracy, self._in_last, self.epochs)

    def check(self) -> None:
        """Raise UserError unless every stage adds something and has its moment."""
        if not all(len(added) for added in self._added):
            raise UserError(
                f"growth: stages of {self.sizes} examples",
                problem="each must add some",
                fix="set fewer stages",
            )
        if self._at is not None and len(self._at) != len(self.sizes) - 1:
            raise UserError(
                self._shown,
                problem=(
                    f"{len(self.sizes)} stages need {len(self.sizes) - 1} moments, when "
                    f"stages 1, 2, … begin"
                ),
            )

    def check_times(self) -> None:
        """Raise UserError unless every stage has, or may have, an epoch of the run."""
        if self.growth is None:
            return
        epochs, at = self.epochs, self._at or []
        if self._at is None and len(self.sizes) > epochs:
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
                    self._shown,
                    problem=f"stage {stage} would have no epoch of {epochs}",
                    fix="set increasing times inside the run",
                )

    def check_history(self, way_out: str) -> None:
        """Raise UserError if more stages have begun in a checkpoint than there are."""
        if self._at is None and len(self.stage_starts) >= len(self.sizes):
            been, last = len(self.stage_starts), len(self.sizes) - 1
            raise UserError(
                "growth",
                problem=f"the checkpoint was trained in stage {been}, here the last is {last}",
                fix=way_out,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return where the stages that have begun did so, and how the last epoch went."""
        return {
            "starts": list(self.stage_starts),
            "decided": self._decided,
            "accuracy": self._accuracy,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self.stage_starts, self._decided, self._accuracy = (
            list(state["starts"]),
            state["decided"],
            state["accuracy"],
        )
