"""What is known of the classes that a config names."""

import hashlib
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from plasticity_lab.project import BESIDE

KNOWN = (
    "torch.optim.",
    "torch.nn.",
    "pytorch_lightning.cli.",
    "pytorch_lightning.callbacks.progress.",
)
HARMLESS = {
    f"pytorch_lightning.callbacks.{name}"
    for name in ("ModelCheckpoint", "LearningRateMonitor", "DeviceStatsMonitor")
}
VERSIONED = ("torch", "torchvision", "pytorch_lightning", "torchmetrics")
"""Packages whose code is known by their versions."""


def class_paths(nest: Any) -> Iterator[str]:
    """Yield the paths of all classes in a config."""
    if isinstance(nest, dict):
        if isinstance(nest.get("class_path"), str):
            yield nest["class_path"]
        for part in nest.values():
            yield from class_paths(part)
    elif isinstance(nest, list):
        for part in nest:
            yield from class_paths(part)


@cache
def is_shareable(path: str) -> bool:
    """Whether a class's behaviour is fully determined by its arguments and its `in_force`."""
    return (
        path in HARMLESS
        or path.startswith(KNOWN)
        or "in_force" in vars(class_of(path))
        or is_builtin(path)
    )


def is_builtin(path: str) -> bool:
    """Whether a class is this project's."""
    return class_of(path).__module__.split(".")[0] in BESIDE


def is_timed(node: dict[str, Any]) -> bool:
    """Whether the class of a node declares what is active, by `in_force`."""
    return hasattr(class_of(node["class_path"]), "in_force")


def user_code_hashes(nest: Any) -> list[str]:
    """Return a hash of each file with a class of a config that is the user's own.

    Neither this project's nor of an installed package, which its version identifies.
    """
    names = sorted({path.rpartition(".")[0] for path in class_paths(nest)})
    files = [
        importlib.import_module(name).__file__
        for name in names
        if name.split(".")[0] not in (*BESIDE, *VERSIONED)
    ]
    return [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if file]


def class_of(path: str) -> Any:
    """Return the class of a path."""
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)
