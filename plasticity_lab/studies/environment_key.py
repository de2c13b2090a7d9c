"""What decides a run's numbers besides its config and its code."""

import json
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from datamodules import ExampleDataset
from lightning_modules import Supervised
from plasticity_lab.errors import UserError
from plasticity_lab.runs.type_hints import class_of
from plasticity_lab.studies.epoch_signatures import instantiate
from plasticity_lab.surgery.initial_weights import read_weights, weights_hash

VERSIONS = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pillow")


def environment_key(config: dict[str, Any], threads: int, fetch: bool = True) -> str:
    """Return what decides a run's numbers besides its config and code.

    Versions, device, threads, data, and the weights of a file that training begins from.

    Args:
        config: the run's resolved config.
        threads: threads of torch.
        fetch: whether data may be downloaded now, and must be there then.

    Raises:
        UserError: if the data cannot be read, and must.
    """
    parts = [platform_key(config), f"{threads} threads", data_key(config, fetch)]
    if weights := initial_weights(config):
        parts.append(f"initial weights {weights_hash(read_weights(Path(weights)))}")
    return "\n".join(parts)


def initial_weights(config: dict[str, Any]) -> str | None:
    """Return the file of weights that a run's training begins from; None if there is none."""
    arguments = config["model"].get("init_args") or {}
    kind = class_of(config["model"]["class_path"])
    file = arguments.get("initial_weights") if issubclass(kind, Supervised) else None
    return str(file) if file else None


def platform_key(config: dict[str, Any]) -> str:
    """Return what decides a run's numbers of the machine it is trained on: versions and device."""
    # From one minor version of Python to the next, `sum` and `random` may give other numbers.
    python = "python " + ".".join(platform.python_version_tuple()[:2])
    versions = [f"{name} {version(name)}" for name in VERSIONS]
    return "\n".join([python, *versions, device(config)])


@cache
def version(name: str) -> str:
    """Return the version of an installed distribution."""
    return metadata.version(name)


def device(config: dict[str, Any]) -> str:
    """Name the device that a run would be trained on."""
    on_cpu = config["trainer"]["accelerator"] == "cpu" or not torch.cuda.is_available()
    return f"cpu {platform.machine()} {_processor()}" if on_cpu else torch.cuda.get_device_name()


def data_key(config: dict[str, Any], fetch: bool = True) -> str:
    """Return a hash of a run's examples, or their names where they are not read.

    Empty for a data module of the user's own.
    """
    node = (config["data"].get("init_args") or {}).get("dataset")
    if node is None:
        return ""
    arguments = dict(node["init_args"])
    if "subset" in arguments:
        arguments["subset"] = None
    if not fetch and "download" in arguments:
        arguments["download"] = False
    return _examples(json.dumps({**node, "init_args": arguments}), fetch)


@cache
def _examples(node: str, fetch: bool) -> str:
    try:
        examples: ExampleDataset = instantiate(json.loads(node), ExampleDataset)
        return " ".join(examples.read(split).fingerprint for split in ("train", "test"))
    except UserError:
        if fetch:
            raise
        return f"unread: {node}"


@cache
def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
