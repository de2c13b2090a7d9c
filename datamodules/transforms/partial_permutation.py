"""A permutation of some of many."""

import torch
from torch import Tensor


def partial_permutation(count: int, fraction: float, draws: torch.Generator) -> Tensor:
    """Return an order in which a share of the places exchange what they hold, int64 (count,).

    Args:
        count: number of places.
        fraction: share of them, in [0, 1], drawn uniformly; the others keep theirs.
        draws: the only source of draws.
    """
    chosen = torch.randperm(count, generator=draws)[: round(fraction * count)]
    order = torch.arange(count)
    order[chosen] = chosen[torch.randperm(len(chosen), generator=draws)]
    return order
