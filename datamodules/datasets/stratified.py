"""A choice of examples with every class as frequent as in the whole."""

import torch
from torch import Tensor


def stratified(labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Choose examples with every class as frequent as in all, up to rounding.

    By largest remainders.

    Args:
        labels: int64 tensor (examples,).
        size: number of examples to choose, 0 to len(labels).
        generator: which examples of a class.

    Returns:
        Sorted indices, int64 tensor (size,).
    """
    counts = torch.bincount(labels)
    quotas = counts * size // len(labels)
    remainders = counts * size % len(labels)
    quotas[torch.argsort(remainders, descending=True, stable=True)[: size - int(quotas.sum())]] += 1
    chosen = []
    for label, quota in enumerate(quotas.tolist()):
        members = torch.nonzero(labels == label).flatten()
        chosen.append(members[torch.randperm(len(members), generator=generator)[:quota]])
    return torch.cat(chosen).sort().values
