"""The manifest of a run: everything needed to repeat it."""

import json
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.project import CODE
from plasticity_lab.runs.file_names import MANIFEST

_PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "jsonargparse",
    "numpy",
    "scikit-learn",
    "pillow",
)


def session(device: torch.device, command: list[str], checkpoint: Path | None) -> dict[str, Any]:
    """Describe one start of a run: when, by which command and code, on which device."""
    name = f"{device.type} ({platform.machine()})"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        "resumed_from": str(checkpoint) if checkpoint else None,
        "git": _git(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        "device": name,
        "threads": torch.get_num_threads(),
        "wall_seconds": None,
    }


def open_session(
    directory: Path, seed: int, fingerprint: dict[str, str] | None, entry: dict[str, Any]
) -> None:
    """Add the start of a session to a run's manifest."""
    manifest = _read(directory) or {"seed": seed, "data": fingerprint, "sessions": []}
    manifest["sessions"].append(entry)
    _write(directory, manifest)


def check(directory: Path) -> None:
    """Raise UserError for a manifest that cannot be read."""
    _read(directory)


def close_session(directory: Path, wall_seconds: float) -> None:
    """Write how long the last session took; a killed one keeps null."""
    manifest = _read(directory)
    manifest["sessions"][-1]["wall_seconds"] = round(wall_seconds, 1)
    _write(directory, manifest)


def _read(directory: Path) -> dict[str, Any]:
    file = directory / MANIFEST
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except ValueError:
        raise UserError(
            file,
            problem="is damaged",
            fix="move it away to continue without the record of earlier sessions",
        ) from None


def _write(directory: Path, manifest: dict[str, Any]) -> None:
    with write_atomically(directory / MANIFEST) as unfinished:
        unfinished.write_text(json.dumps(manifest, indent=1))


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return commit, changed and untracked files, and uncommitted changes of this code.

    None where it is not a git checkout.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", CODE, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
        )
        return done.stdout.rstrip()

    try:
        # It may be installed inside another project's checkout.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != CODE.resolve():
            return None
        return {
            "commit": git("rev-parse", "HEAD"),
            "status": git("status", "--short"),
            "uncommitted": git("diff", "HEAD"),
        }
    except (OSError, subprocess.CalledProcessError):
        return None
