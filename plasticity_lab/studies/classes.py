"""What is known of the classes that a config names."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pytorch_lightning import LightningModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from datamodules import ExampleDataset
from lightning_modules import Objective
from plasticity_lab.project import BESIDE
from plasticity_lab.runs.type_hints import class_of
from plasticity_lab.schedule import Timed

KNOWN = (
    "torch.optim.",
    "torch.nn.",
    "pytorch_lightning.cli.",
    "pytorch_lightning.callbacks.progress.",
)
PURE = (nn.Module, Optimizer, LRScheduler, ExampleDataset, Objective)
"""What is a function of its arguments: it is given neither the trainer nor the run's length."""

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
def why_not_shareable(path: str) -> str:
    """Return why a class's epochs cannot be shared; empty if its answers tell all that it does.

    They can be of this project's classes, of what has no access to a run's clock (networks,
    optimizers, schedules, data sets and objectives: arguments and source tell all), and of what
    acts over time and hooks into nothing else, or answers for itself (`active` in its own body).
    """
    kind = class_of(path)
    if path in HARMLESS or path.startswith(KNOWN) or is_builtin(path):
        return ""
    if isinstance(kind, type) and issubclass(kind, Timed):
        if "active" in vars(kind) or not (hooks := _hooks(kind)):
            return ""
        return f"has {hooks[0]} of its own, and no active that answers for it"
    if isinstance(kind, type) and issubclass(kind, PURE) and not issubclass(kind, LightningModule):
        return ""
    return "may depend on the run's clock, and is no plasticity_lab.schedule.Timed that answers"


def _hooks(kind: type[Timed]) -> list[str]:
    """Return what a class of one's own may do besides what its answers say, by method."""
    own = [base for base in kind.__mro__ if not _is_ours_or_installed(base)]
    names = sorted({name for base in own for name in vars(base)})
    others = ("setup", "teardown", *kind.knows_length)
    return [name for name in names if name.startswith("on_") or name in others]


def _is_ours_or_installed(kind: type) -> bool:
    package = kind.__module__.split(".")[0]
    return package in (*BESIDE, "plasticity_lab", "pytorch_lightning", "builtins", "abc", "typing")


def is_builtin(path: str) -> bool:
    """Whether a class is this project's."""
    return class_of(path).__module__.split(".")[0] in BESIDE


def is_timed(nest: Any) -> bool:
    """Whether a part of a config is a class that acts over time, with its arguments."""
    path = nest.get("class_path") if isinstance(nest, dict) else None
    kind = class_of(path) if isinstance(path, str) else None
    return isinstance(kind, type) and issubclass(kind, Timed)
