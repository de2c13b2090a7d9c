"""What decides a run's numbers besides its config."""

import hashlib
import json
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from datamodules import ExampleDataset
from plasticity_lab.errors import UserError
from plasticity_lab.project import BESIDE, CODE
from plasticity_lab.studies.recipe import instance

SOURCES = (
    "plasticity_lab/*.py",
    *(f"plasticity_lab/{part}/*.py" for part in ("measurements", "runs", "surgery")),
    *(f"{name}/**/*.py" for name in BESIDE),
)
VERSIONS = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "pillow")


def salt(config: dict[str, Any], threads: int, code: str, fetch: bool = True) -> str:
    """Return what decides a run's numbers besides its config: code, versions, device, threads, data.

    Args:
        config: the run's resolved config.
        threads: threads of torch.
        code: the hash of this project's code, or of an earlier version that is trusted to give the same numbers.
        fetch: whether data may be downloaded now, and must be there then.

    Raises:
        UserError: if the data cannot be read, and must.
    """
    return "\n".join([machine(config, code), f"{threads} threads", data(config, fetch)])


def machine(config: dict[str, Any], code: str) -> str:
    """Return what decides a run's numbers of the machine it is trained on: code, versions, device; arguments as `salt`."""
    return "\n".join([code, *(f"{name} {version(name)}" for name in VERSIONS), device(config)])


@cache
def present_code() -> str:
    """Return a hash of this project's sources, studies apart."""
    content = hashlib.sha256()
    for file in sorted(file for pattern in SOURCES for file in CODE.glob(pattern)):
        content.update(f"{file.relative_to(CODE)}\n".encode() + file.read_bytes())
    return content.hexdigest()


def device(config: dict[str, Any]) -> str:
    """Name the device that a run would be trained on."""
    on_cpu = config["trainer"]["accelerator"] == "cpu" or not torch.cuda.is_available()
    return f"cpu {platform.machine()} {_processor()}" if on_cpu else torch.cuda.get_device_name()


def data(config: dict[str, Any], fetch: bool = True) -> str:
    """Return a hash of a run's examples; where they are not read, what they are called; nothing for a data module of one's own."""
    node = (config["data"].get("init_args") or {}).get("dataset")
    if node is None:
        return ""
    arguments = {**node["init_args"], "subset": None}
    if not fetch and "download" in arguments:
        arguments["download"] = False
    return _examples(json.dumps({**node, "init_args": arguments}), fetch)


@cache
def _examples(node: str, fetch: bool) -> str:
    try:
        examples: ExampleDataset = instance(json.loads(node), ExampleDataset)
        return " ".join(examples.read(split).fingerprint for split in ("train", "test"))
    except UserError:
        if fetch:
            raise
        return f"unread: {node}"


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
