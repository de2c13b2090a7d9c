"""Orders of examples, keyed by the seed."""

import torch
from torch import Tensor

from plasticity_lab.randomness import generator

ARRIVAL = "growth"
"""What keys the order in which examples arrive."""


def arrival_permutation(count: int, seed: int) -> Tensor:
    """Return the order in which examples arrive, int64 (count,)."""
    return torch.randperm(count, generator=generator(seed, ARRIVAL))


def epoch_permutation(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of `count` examples in an epoch, int64 (count,)."""
    return torch.randperm(count, generator=generator(seed, "order", epoch))
