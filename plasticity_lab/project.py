"""Where the project's own files are, in a checkout and where it is installed."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parent
CODE = PACKAGE.parent
"""What holds the packages of this project."""

CONFIGS = next(folder for folder in (PACKAGE / "configs", CODE / "configs") if folder.is_dir())
ROOT = CONFIGS.parent
"""What `configs/digits.yaml` is relative to."""

BESIDE = ("callbacks", "datamodules", "lightning_modules")
"""This project's other packages, whose names another project may use as well."""


def hidden() -> str:
    """Return which of this project's packages another one of its name hides, in one line; empty if none."""
    for name in BESIDE:
        found = find_spec(name)
        file = Path(found.origin) if found and found.origin else None
        if file is None or file.parent.parent.resolve() != CODE.resolve():
            there = f"{file.parent} hides" if file else "nothing is found for"
            return (
                f"{name}: {there} plasticity-lab's package of this name; take its folder off PYTHONPATH, or rename it, "
                "as plasticity-lab's own classes are named by theirs"
            )
    return ""


def find_own_classes() -> None:
    """Let a config name classes of modules in the working directory; this project's packages come first."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
