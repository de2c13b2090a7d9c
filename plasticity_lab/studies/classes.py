"""What is known of the classes that a config names."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from plasticity_lab.project import BESIDE
from plasticity_lab.runs.type_hints import class_of

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


def dotted_names(nest: Any) -> Iterator[str]:
    """Yield the texts in a config that may be paths of classes, functions or types."""
    if isinstance(nest, dict):
        for part in nest.values():
            yield from dotted_names(part)
    elif isinstance(nest, list):
        for part in nest:
            yield from dotted_names(part)
    elif isinstance(nest, str) and "." in nest and all(map(str.isidentifier, nest.split("."))):
        yield nest


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
