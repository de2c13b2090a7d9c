"""Decoded images on disk, so that a folder of files is decoded once."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from datamodules.datasets.file_names import one_line
from plasticity_lab.files import write_atomically


def cache_directory() -> Path:
    """Return `$XDG_CACHE_HOME/plasticity-lab` (`~/.cache/plasticity-lab` without the variable)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plasticity-lab"


def disk_cached(key: str, make: Callable[[], Tensor]) -> Tensor:
    """Return the tensor stored under `key`, making and storing it the first time.

    Where it cannot be stored, a warning says so, and it is made in every run.

    Args:
        key: names the content; whatever changes the tensor must change it.
        make: makes the tensor.
    """
    stored = _load(key)
    if stored is not None:
        return stored
    tensor = make()
    try:
        _store(key, tensor)
    except (OSError, RuntimeError) as error:
        rank_zero_warn(
            "decoded images cannot be kept for the next run "
            f"({getattr(error, 'strerror', None) or one_line(error)}); "
            "set XDG_CACHE_HOME to a folder that can be written"
        )
        return tensor
    # What was just stored is mapped from disk, so that memory need not hold it.
    stored = _load(key)
    return tensor if stored is None else stored


def _load(key: str) -> Tensor | None:
    """Return what is stored, None if there is nothing or it is damaged."""
    try:
        tensor: Tensor = torch.load(cache_directory() / f"{key}.pt", weights_only=True, mmap=True)
    except Exception:
        # Damage shows in many ways, and whatever it is the answer is to make the tensor again.
        return None
    return tensor


def _store(key: str, tensor: Tensor) -> None:
    path = cache_directory() / f"{key}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as unfinished:
        torch.save(tensor, unfinished)
