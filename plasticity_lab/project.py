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
    """Return in one line which of this project's packages is hidden by another of its name.

    Empty if none is.
    """
    for name in BESIDE:
        spec = find_spec(name)
        file = Path(spec.origin) if spec and spec.origin else None
        if file is None or file.parent.parent.resolve() != CODE.resolve():
            problem = f"{file.parent} hides" if file else "nothing is found for"
            return (
                f"{name}: {problem} plasticity-lab's package of this name; take its folder off "
                "PYTHONPATH, or rename it, as plasticity-lab's own classes are named by theirs"
            )
    return ""


def find_own_classes() -> None:
    """Let configs name classes of modules in the working directory.

    This project's packages come first.
    """
    working_directory = os.getcwd()
    if working_directory not in sys.path:
        sys.path.append(working_directory)
