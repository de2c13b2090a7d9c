"""Decoded images on disk, so that a folder of files is decoded once."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor


def cache_directory() -> Path:
    """Return `$XDG_CACHE_HOME/plasticity-lab` (`~/.cache/plasticity-lab` without the variable)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plasticity-lab"


def cached(fingerprint: str, make: Callable[[], Tensor]) -> Tensor:
    """Return the tensor stored under `fingerprint`, making and storing it the first time.

    The file is written beside its place and moved there, so that another process never reads half of it.
    """
    path = cache_directory() / f"{fingerprint}.pt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        torch.save(make(), unfinished)
        unfinished.replace(path)
    tensor: Tensor = torch.load(path, weights_only=True, mmap=True)
    return tensor
