"""Checkpoint files: written whole or not at all, read as data, refused when damaged."""

import io
import os
import re
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically

LAST = "last.ckpt"
"""The file that `--ckpt_path last` resumes from; see `callbacks.LastCheckpoint`."""

COMMITS = "commits"
"""Entry of a checkpoint: how often `last.ckpt` had been written, this time included."""

FAILED = "failed"
"""Entry of a checkpoint that was written because its run had failed, in the middle of a step."""

_HYPERPARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")


class ForeignObjects(UserError):
    """A checkpoint holds objects that are not read back, because reading them could run code."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all: a kill leaves the previous file or the new one.

    What could not be read back is never moved there. Hyperparameters of which that is true (a
    callable, a class) are left out: the run's `config.yaml` holds them.

    Args:
        resumed_from: the checkpoint that the run resumes from; None for a new one.
    """

    def __init__(self, resumed_from: Path | None = None) -> None:
        super().__init__()
        self.commits: int = read_checkpoint(resumed_from).get(COMMITS, 0) if resumed_from else 0
        self._readable: dict[tuple[str, str], bool] = {}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            UserError: for a value that could not be read back.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.commits += place.name == LAST
        checkpoint = {**checkpoint, COMMITS: self.commits}
        for part in _HYPERPARAMETERS:
            if part in checkpoint:
                checkpoint[part] = {
                    key: value
                    for key, value in checkpoint[part].items()
                    if self._is_readable(part, key, value)
                }
        with write_atomically(place) as unfinished:
            torch.save(checkpoint, unfinished)
            try:
                torch.load(unfinished, map_location="cpu", weights_only=True, mmap=True)
            # It raises half a dozen kinds.
            except Exception:
                check_plain(checkpoint)
                raise

    def _is_readable(self, part: str, key: str, value: Any) -> bool:
        """Whether a hyperparameter can be read back; looked up once for each of them."""
        if (part, key) not in self._readable:
            self._readable[part, key] = _is_plain(value)
        return self._readable[part, key]


def check_plain(checkpoint: Mapping[str, Any]) -> None:
    """Raise UserError for a value of a checkpoint that could not be read back, naming it."""
    foreign = _foreign(checkpoint)
    if foreign is not None:
        keys, value = foreign
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise UserError(
            "checkpoint",
            value=": ".join(keys),
            problem=(
                f"{value!r:.60} of type {kind} could not be read back, so that the run could not "
                "be resumed"
            ),
            fix="save tensors, numbers, texts, and lists and dicts of them",
        )


def _foreign(value: Any, keys: tuple[str, ...] = ()) -> tuple[tuple[str, ...], Any] | None:
    """Return keys and value of the innermost part that is not read back; None if all is."""
    if _is_plain(value):
        return None
    entries: dict[Any, Any] = {}
    if isinstance(value, Mapping):
        entries = dict(value)
    elif isinstance(value, list | tuple):
        entries = dict(enumerate(value))
    for key, part in entries.items():
        if inner := _foreign(part, (*keys, str(key))):
            return inner
    return keys, value


def _is_plain(value: Any) -> bool:
    """Whether a value can be written and read back without running code that the file holds."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, map_location="cpu", weights_only=True)
    # pickle and torch raise many kinds.
    except Exception:
        return False
    return True


def read_checkpoint(path: Path, trainable: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code that it may hold.

    Args:
        path: the file.
        trainable: training is to resume from it.

    Raises:
        ForeignObjects: if it holds more than tensors and plain values.
        UserError: if the file is missing, truncated, not a checkpoint, or training cannot resume
            from it.
    """
    if path.is_dir():
        raise UserError(
            "ckpt_path",
            value=path,
            problem="is a directory",
            fix=f"name a file in it, as {path}/checkpoints/{LAST}",
        )
    if not path.is_file():
        raise UserError(
            "ckpt_path", value=path, problem="no such file", fix="name a checkpoint, or set 'last'"
        )
    checkpoint: dict[str, Any] = read_data(path, "ckpt_path", "name another, or set 'last'")
    if not isinstance(checkpoint, dict) or not {"state_dict", "global_step", "loops"} <= set(
        checkpoint
    ):
        raise UserError(
            "ckpt_path", value=path, problem="not a Lightning checkpoint", fix="name another"
        )
    if trainable and "optimizer_states" not in checkpoint:
        raise UserError(
            "ckpt_path",
            value=path,
            problem="holds weights only, training cannot resume from it",
            fix="name another, or set 'last'",
        )
    if trainable and checkpoint.get(FAILED):
        raise UserError(
            "ckpt_path",
            value=path,
            problem=(
                "was written when the run failed, in the middle of a step, and training would "
                "not resume exactly"
            ),
            fix="name another, or set 'last'",
        )
    return checkpoint


def read_data(path: Path, key: str, fix: str) -> Any:
    """Read a file that `torch.save` wrote onto the CPU, without running any code that it may hold.

    Args:
        path: the file.
        key: what names it in the config, for messages.
        fix: what to set in place of a file that cannot be read.

    Raises:
        ForeignObjects: if it holds more than tensors and plain values.
        UserError: if it is missing, truncated, damaged, or something else.
    """
    if not path.is_file():
        raise UserError(key, value=path, problem="no such file", fix=fix)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        damaged = _damaged(path, path.stat().st_mtime_ns)
    # torch.load raises half a dozen kinds.
    except Exception as error:
        reason = " ".join(str(error).split())
        if foreign := re.search(
            r"GLOBAL (\S+) was not an allowed global|Unsupported class (\S+)", reason
        ):
            raise ForeignObjects(
                f"{key}: {path}: holds {foreign[1] or foreign[2]}, which is not read because "
                "that could run code; name a checkpoint of tensors and plain values, or a new "
                "directory"
            ) from error
        raise UserError(
            key,
            value=path,
            problem=f"truncated or not a checkpoint ({reason[:120]})",
            fix=fix,
        ) from error
    if damaged:
        raise UserError(key, value=path, problem=f"is damaged ({damaged})", fix=fix)
    return content


def latest_valid_checkpoint(folder: Path, trainable: bool = False) -> Path | None:
    """Return the checkpoint that `--ckpt_path last` means; None if there is none to start from.

    It is `last.ckpt`, or if that is damaged or was removed, the readable checkpoint that was
    trained longest. Those of a run that was killed before it had written any `last.ckpt` do not
    count for training: not every callback had acted.

    Raises:
        ForeignObjects: if a checkpoint is whole but cannot be read; nothing may be trained over it.
    """
    candidates = []
    paths = sorted(folder.glob("*.ckpt"), key=lambda path: path.name != LAST)
    removed = not (folder / LAST).exists()
    for path in paths:
        try:
            checkpoint = read_checkpoint(path, trainable)
        except ForeignObjects:
            raise
        except UserError as error:
            print(f"warning: {error}; starting from the best of the others")
            continue
        if path.name == LAST:
            return path
        if not (trainable and removed and checkpoint.get(COMMITS) == 0):
            candidates.append((checkpoint["global_step"], path.stat().st_mtime_ns, path))
    return max(candidates)[2] if candidates else None


@cache
def _damaged(path: Path, mtime_ns: int) -> str | None:
    """Return what in a checkpoint has not its checksum, read once a process; torch compares none.

    Args:
        path: the file.
        mtime_ns: when it was written.
    """
    if not torch.serialization.get_crc32_options():
        return None
    with zipfile.ZipFile(path) as file:
        return file.testzip()


def discard_unfinished(folder: Path) -> None:
    """Remove a killed run's unfinished files, and checkpoints written after its `last.ckpt`.

    They are written again when training resumes from `last.ckpt`, and would get other names if they
    were there.
    """
    for file in folder.glob(".*.tmp"):
        file.unlink()
    last = folder / LAST
    committed = read_checkpoint(last).get(COMMITS) if last.exists() else 0
    for file in folder.glob("*.ckpt"):
        if file != last and committed is not None and _commits(file) >= committed:
            file.unlink()


def _commits(path: Path) -> int:
    """Return how often `last.ckpt` had been written before a checkpoint; -1 if unknown."""
    try:
        return int(read_checkpoint(path).get(COMMITS, -1))
    except UserError:
        return -1


def check_network(
    checkpoint: Mapping[str, Any], expected: Mapping[str, torch.Tensor], path: Path
) -> None:
    """Refuse a checkpoint of another network.

    Args:
        checkpoint: as read.
        expected: the `state_dict` of the module it is to be loaded into.
        path: named in the error.

    Raises:
        UserError: naming the first parameter that differs.
    """
    saved_shapes = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
    expected_shapes = {name: tuple(value.shape) for name, value in expected.items()}
    for name in (*expected_shapes, *saved_shapes):
        if saved_shapes.get(name) != expected_shapes.get(name):
            saved_shape = _shape_words(saved_shapes.get(name))
            expected_shape = _shape_words(expected_shapes.get(name))
            raise UserError(
                "ckpt_path",
                value=path,
                problem=f"of another network: {name} {saved_shape} there and {expected_shape} here",
                fix="use the run's own config",
            )


def _shape_words(shape: tuple[int, ...] | None) -> str:
    return "is missing" if shape is None else f"has shape {shape}"


def check_optimizer(checkpoint: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint of another kind of optimizer.

    Args:
        checkpoint: as read.
        expected: the `state_dict` of the optimizer it is to be loaded into.
        path: named in the error.

    Raises:
        UserError: if the number of parameter groups or the names of their settings differ.
    """
    saved = checkpoint["optimizer_states"][0]["param_groups"]
    # A schedule adds the initial rate.
    saved_keys = [set(group) - {"initial_lr"} for group in saved]
    expected_keys = [set(group) - {"initial_lr"} for group in expected["param_groups"]]
    if saved_keys != expected_keys:
        raise UserError(
            "ckpt_path",
            value=path,
            problem="of another optimizer",
            fix="name the one it was trained with",
        )
