"""Files of studies: read with care, and known by their lengths."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plasticity_lab.files import write_atomically


def read_json(file: Path) -> dict[str, Any]:
    """Return what a file of JSON holds; nothing if it is missing or damaged."""
    try:
        with open(file, "rb") as stream:
            entry = json.loads(stream.read())
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) else {}


def write_whole(file: Path, entry: dict[str, Any]) -> None:
    """Write JSON, whole or not at all, also if power is lost."""
    with write_atomically(file, durable=True) as unfinished:
        unfinished.write_text(json.dumps(entry, indent=1))


def lengths(folder: Path, *without: str) -> dict[str, int]:
    """Return the size of each file of a folder, by its path in it.

    Hidden files and those named `without` are not counted.
    """
    files = sorted(
        file for file in folder.rglob("[!.]*") if file.is_file() and file.name not in without
    )
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def short(folder: Path, lengths: Mapping[str, int]) -> str:
    """Describe the first file of a folder whose length has changed; "" if none has.

    A checkpoint may have been deleted, but not cut short.
    """
    # Plain texts, as this is done for every file of thousands of runs.
    home = str(folder)
    for name, length in lengths.items():
        try:
            size = os.stat(f"{home}/{name}").st_size
        except OSError:
            if not name.endswith(".ckpt"):
                return f"{name} is missing"
        else:
            if size != length:
                return f"{name} has {size} bytes of {length}"
    return ""


def link_or_copy(file: Path, target: Path) -> None:
    """Link a file, in place of what is there, or copy it where that is another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)
