"""Whether a data set fits on the device that trains on it."""

import os
from collections.abc import Iterable
from math import prod

import torch

from datamodules.datasets.split import Split


def fits_in_memory(splits: Iterable[Split], device: torch.device) -> bool:
    """Whether the splits together take at most half of the device's free memory."""
    needed = sum(len(split) * prod(split.shape) * split.dtype.itemsize for split in splits)
    if device.type == "cuda":
        return needed <= torch.cuda.mem_get_info(device)[0] // 2
    return needed <= _free_memory() // 2


def _free_memory() -> int:
    """Return how many bytes of memory are free."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        # macOS and Windows do not say. Four gigabytes are free wherever networks are trained.
        return 4 * 2**30
