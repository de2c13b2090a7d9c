"""A run's epochs, known before it runs: how long they are, and where something can change."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from datamodules.growth.stage_schedule import StageSchedule
from datamodules.loading.sharding import shard_batches
from plasticity_lab.history import StageDecisions
from plasticity_lab.timing import Position, Time


@dataclass(frozen=True)
class EpochPlan:
    """The epochs of a run: their lengths, and the positions at which something can change.

    Attributes:
        stages: which examples there are in which epoch.
        decisions: how stages that wait for the network have ended so far.
        batch_size: examples in a batch of one rank.
        drop_last: whether an epoch's last, smaller batch is left out.
        ranks: number of ranks.
        limit: Lightning's `limit_train_batches`: batches if it is an int, a share of them if a
            float.
        accumulation: batches for each optimizer step.
        max_epochs: of the run; 0 if that is not known.
        max_steps: of the run; -1 is without a limit.
    """

    stages: StageSchedule
    decisions: StageDecisions
    batch_size: int
    drop_last: bool
    ranks: int
    limit: int | float
    accumulation: int
    max_epochs: int
    max_steps: int

    @property
    def waits(self) -> bool:
        """Whether stages wait for the network, so that their beginnings are not known before."""
        return self.stages.waits

    def starts(self) -> list[Position]:
        """Return the start of every epoch, and the end of the run.

        Where stages wait for the network: those were the next stage never to come.
        """
        epoch, step, starts = 0, 0, list[Position]()
        limited = self.max_steps >= 0
        while epoch < self.max_epochs and not (limited and step >= self.max_steps):
            now = self.stages.position(epoch, step, self.max_epochs, self.decisions)
            starts.append(now)
            epoch, step = epoch + 1, step + self.steps(now.stage)
        last = starts[-1] if starts else Position(0, 0)
        return [*starts, self._limited(last._replace(epoch=epoch, step=step))]

    def batches(self, examples: int) -> list[Tensor]:
        """Cut an epoch of so many examples into batches.

        It needs no loader: Lightning may still have to start the ranks.
        """
        order = torch.arange(examples)
        return shard_batches(
            order, self.batch_size, 0, self.ranks, drop_remainder=True, drop_last=self.drop_last
        )

    def steps(self, stage: int) -> int:
        """Return the number of optimizer steps of an epoch in a stage."""
        size = self.stages.size(stage)
        if size not in self._steps:
            batches = len(self.batches(size))
            most = self.limit if isinstance(self.limit, int) else int(batches * self.limit)
            self._steps[size] = math.ceil(min(batches, most) / self.accumulation)
        return self._steps[size]

    @cached_property
    def _steps(self) -> dict[int, int]:
        """Steps of an epoch, by the number of its examples."""
        return {}

    def positions(self, times: Iterable[Time] = ()) -> list[Position]:
        """Return every position at which something can change, and the end of the run.

        Args:
            times: all times at which it can.
        """
        starts = self.starts()
        named = {step for time in times for step in time.steps(starts[-1].step)}
        path = []
        for start, following in pairwise(starts):
            inside = sorted(step for step in named if start.step < step < following.step)
            path += [start, *(start._replace(step=step) for step in inside)]
        return [*path, starts[-1]]

    def latest(self) -> Position:
        """Return the latest position of the run's last batch; the furthest where stages wait."""
        end = self.starts()[-1]
        if self.waits:
            stages = range(self.stages.count(self.max_epochs))
            most = end.epoch * max(map(self.steps, stages))
            end = self._limited(Position(end.epoch, most, stages[-1]))
        return end._replace(epoch=end.epoch - 1, step=end.step - 1)

    def _limited(self, end: Position) -> Position:
        if self.max_steps < 0:
            return end
        return end._replace(step=min(end.step, self.max_steps))
