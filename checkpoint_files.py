"""Checkpoint files: written whole or not at all, and refused by name when damaged."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from errors import UserError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the place and moves there, so that a kill leaves the previous file or the new one, never half of it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None) -> None:
        """Write a checkpoint."""
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        torch.save(checkpoint, unfinished)
        unfinished.replace(place)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code that it may hold.

    Raises:
        UserError: if the file is missing, truncated or not a checkpoint.
    """
    if not path.is_file():
        raise UserError(f"ckpt_path: {path}: no such file; name a checkpoint or write 'last'")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load raises half a dozen kinds
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"ckpt_path: {path}: truncated or not a checkpoint ({reason}); name another or write 'last'") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise UserError(f"ckpt_path: {path}: not a Lightning checkpoint; name another")
    return checkpoint


def newest_whole(folder: Path) -> Path | None:
    """Return the newest readable checkpoint of a folder, saying which newer ones are damaged; None if there is none."""
    for path in sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            read_checkpoint(path)
        except UserError as error:
            print(f"warning: {error}; going on from the one before it")
        else:
            return path
    return None


def check_network(checkpoint: Mapping[str, Any], expected: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse a checkpoint of another network.

    Args:
        checkpoint: as read.
        expected: the `state_dict` of the module it is to be loaded into.
        path: named in the error.

    Raises:
        UserError: naming the first parameter that differs.
    """
    found = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
    wanted = {name: tuple(value.shape) for name, value in expected.items()}
    for name in (*wanted, *found):
        if found.get(name) != wanted.get(name):
            there, here = (
                f"has shape {shape}" if shape is not None else "is missing" for shape in (found.get(name), wanted.get(name))
            )
            raise UserError(
                f"ckpt_path: {path}: of another network: {name} {there} there and {here} here; use the run's own config"
            )
