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


def read_checkpoint(path: Path, trainable: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code that it may hold.

    Args:
        path: the file.
        trainable: training is to go on from it.

    Raises:
        UserError: if the file is missing, truncated, not a checkpoint, or holds weights only where training is to go on.
    """
    if not path.is_file():
        raise UserError(f"ckpt_path: {path}: no such file; name a checkpoint or write 'last'")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load raises half a dozen kinds
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"ckpt_path: {path}: truncated or not a checkpoint ({reason}); name another or write 'last'") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "global_step", "loops"} <= set(checkpoint):
        raise UserError(f"ckpt_path: {path}: not a Lightning checkpoint; name another")
    if trainable and "optimizer_states" not in checkpoint:
        raise UserError(f"ckpt_path: {path}: holds weights only, training cannot go on from it; name another or write 'last'")
    return checkpoint


def newest_whole(folder: Path, trainable: bool = False) -> Path | None:
    """Return the readable checkpoint of a folder that was trained longest, saying which are damaged; None if there is none."""
    found = []
    for path in sorted(folder.glob("*.ckpt")):
        try:
            found.append((read_checkpoint(path, trainable)["global_step"], path.stat().st_mtime_ns, path))
        except UserError as error:
            print(f"warning: {error}; going on from the best of the others")
    return max(found)[2] if found else None


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


def check_optimizer(checkpoint: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint of another kind of optimizer.

    Args:
        checkpoint: as read.
        expected: the `state_dict` of the optimizer it is to be loaded into.
        path: named in the error.

    Raises:
        UserError: if the number of parameter groups or the names of their settings differ.
    """
    there, here = checkpoint["optimizer_states"][0]["param_groups"], expected["param_groups"]
    if len(there) != len(here) or any(
        set(one) - {"initial_lr"} != set(other) - {"initial_lr"} for one, other in zip(there, here, strict=True)
    ):
        raise UserError(f"ckpt_path: {path}: of another optimizer; name the one it was trained with")
