"""Training data with a bias that fades."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datamodules.growth.base import Growth
from datamodules.growth.permutations import arrival_permutation
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.schedule import Answer
from plasticity_lab.timing import Position, Time


def share_of_all(progress: Tensor, gamma: float) -> Tensor:
    """Return p = 1 - gamma^(50 progress), the probability of drawing from all data.

    `progress` is the fraction of the run, in [0, 1].
    """
    return 1 - gamma ** (50 * progress)


class SmoothTransition(Growth):
    """A fading bias: examples come from all data more and more often.

    Otherwise from a fixed part (Berariu et al. 2021, Fig. 3, https://arxiv.org/abs/2106.00042).

    Every epoch has as many examples as the split. The n-th of the run's N is drawn from all with
    probability 1 - gamma^(50 n/N), else from the part, which is the one that `UniformGrowth` begins
    with. Each is gone through in random order without repetition: all in the very order of a run
    without growth.

    Args:
        gamma: in [0, 1]; 0 is the identity, 1 stays with the part. The paper's are 0.1 … 0.9.
        fraction: share of the split in the part, in (0, 1].

    Raises:
        UserError: for values outside these ranges.
    """

    def __init__(self, gamma: float, fraction: float = 0.5) -> None:
        super().__init__(at=[])
        if not 0 <= gamma <= 1:
            raise UserError("gamma", value=gamma, fix="set a number in [0, 1]")
        if not 0 < fraction <= 1:
            raise UserError(
                "fraction", value=fraction, fix="set a share of the training split in (0, 1]"
            )
        self.gamma, self.fraction = gamma, fraction

    def stage_indices(self, targets: Tensor, classes: int | None, seed: int) -> list[Tensor]:
        """Everything is there from the start."""
        return [torch.arange(len(targets))]

    def times(self) -> Sequence[Time]:
        """Return the beginning: it acts all the time."""
        return [Time("0ep")]

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the length of the run, on which its probabilities depend."""
        return f"a length of {epochs} epochs"

    def order(self, members: Tensor, seed: int, epoch: int, epochs: int) -> Tensor:
        """Mix two orders by draws for each place."""
        count = len(members)
        part = arrival_permutation(count, seed)[: max(1, round(self.fraction * count))]
        draws = generator(seed, "SmoothTransition", epoch)
        progress = (epoch + torch.arange(1, count + 1, dtype=torch.float64) / count) / epochs
        from_all = torch.rand(count, dtype=torch.float64, generator=draws) < share_of_all(
            progress, self.gamma
        )
        rounds = [
            part[torch.randperm(len(part), generator=draws)] for _ in range(-(-count // len(part)))
        ]
        return torch.where(
            from_all, super().order(members, seed, epoch, epochs), torch.cat(rounds)[:count]
        )
