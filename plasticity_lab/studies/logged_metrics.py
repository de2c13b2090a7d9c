"""Which metrics a run will log, known before it is trained."""

from collections.abc import Iterable, Mapping
from typing import Any

from callbacks import Dashboard, Diagnostic, Level, NormRecalibration, OneShot
from callbacks.diagnostics.time_to_accuracy import TimeToAccuracy
from datamodules import ImageDataModule
from lightning_modules import Classification, ImageClassifier, Objective, Supervised
from plasticity_lab.runs.type_hints import class_of
from plasticity_lab.studies.classes import is_builtin
from plasticity_lab.studies.epoch_signatures import instantiate
from plasticity_lab.tags import GROUPS

SILENT = {
    "BatchSizeFinder",
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "ModelCheckpoint",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "RichModelSummary",
    "RichProgressBar",
    "StochasticWeightAveraging",
    "TQDMProgressBar",
    "Timer",
    "WeightAveraging",
    "EMAWeightAveraging",
}
"""Callbacks of Lightning that log nothing."""


def logged_metrics(config: Mapping[str, Any]) -> list[str] | None:
    """Return the tags that a run may log, `<…>` in them for what depends on the run.

    Args:
        config: its resolved config.

    Returns:
        the tags in order; None if a class of the user's own or of another package may log something
        besides.
    """
    objective = _objective(config["model"])
    if objective is None or class_of(config["data"]["class_path"]) is not ImageDataModule:
        return None
    arguments = config["data"].get("init_args") or {}
    names = ("loss", *objective.metrics())
    tags = _of_module(names, config["trainer"], arguments) + _of_data(arguments)
    for node in _listed(config["trainer"].get("callbacks")):
        logged = _of_callback(node)
        if logged is None:
            return None
        tags += logged
    return sorted(set(tags))


def _objective(model: Mapping[str, Any]) -> Objective | None:
    """Return what a module is trained for; None if it is of the user's own."""
    kind = class_of(model["class_path"])
    if kind is ImageClassifier:
        return Classification()
    if kind is not Supervised:
        return None
    objective: Objective = instantiate(model["init_args"]["objective"], Objective)
    return objective


def _of_module(
    names: Iterable[str], trainer: Mapping[str, Any], data: Mapping[str, Any]
) -> list[str]:
    splits = ["train", "test"]
    if trainer.get("limit_val_batches") != 0:
        splits += ["val"]
        if data.get("also_evaluate_with_deficit"):
            splits += ["val_deficit"]
    return [f"{split}/{name}" for split in splits for name in names]


def _of_data(data: Mapping[str, Any]) -> list[str]:
    tags = [f"deficits/{_name(node)}" for node in _listed(data.get("deficits"))]
    if data.get("growth"):
        tags += ["data/stage", "data/examples"]
    if data.get("augmentation"):
        tags += ["data/augmented"]
    return tags


def _of_callback(node: Mapping[str, Any]) -> list[str] | None:
    path = node["class_path"]
    arguments = node.get("init_args") or {}
    name = _name(node)
    kind = class_of(path)
    if path.startswith("pytorch_lightning."):
        if name == "LearningRateMonitor":
            return ["lr-<optimizer>"]
        return [] if name in SILENT else None
    if not isinstance(kind, type):
        # A function that returns a callback.
        return None
    tags = vars(kind).get("tags")
    if issubclass(kind, Diagnostic) and tags is not None:
        group = GROUPS[arguments.get("norm_statistics", "estimated")]
        return [f"{group}/{tag}" for tag in tags]
    if kind is TimeToAccuracy:
        name = f"{arguments.get('split', 'train')}_{arguments['accuracy']:g}"
        lasts = [
            f"{part}/{unit}"
            for part in ("", "/stage<number>", "/last_stage")
            for unit in ("epochs", "steps")
        ]
        return [f"diagnostics/time_to_accuracy/{name}{last}" for last in ("/reached", *lasts)]
    if is_builtin(path) and issubclass(kind, OneShot | Level | NormRecalibration):
        return [f"interventions/{name}", *(f"interventions/{name}/{tag}" for tag in kind.tags)]
    return [] if kind is Dashboard else None


def _name(node: Mapping[str, Any]) -> str:
    return str(node["class_path"]).rpartition(".")[2]


def _listed(nodes: Any) -> list[Any]:
    return [nodes] if isinstance(nodes, dict) else list(nodes or [])
