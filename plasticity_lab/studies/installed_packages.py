"""What is known of installed packages: their distributions' names, versions and recorded files."""

import hashlib
import sysconfig
from functools import cache
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path

STANDARD = frozenset(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
"""Folders of the standard library."""


def is_installed(package: str, path: Path) -> bool:
    """Whether a path of a top-level package is the standard library's or a distribution's.

    A file that was only copied into site-packages has no version, so it is not; nor is what `pip
    install -e` leaves where it is.
    """
    if {"site-packages", "dist-packages"} & set(path.parts):
        return package in _distributions()
    return any(path.is_relative_to(folder) for folder in STANDARD)


@cache
def versions(package: str) -> tuple[str, ...]:
    """Return what tells the code of a top-level package: a text for each of its distributions.

    None for the standard library and for what is not there.
    """
    return tuple(sorted(map(_version, set(_distributions().get(package, ())))))


def _version(name: str) -> str:
    installed = distribution(name)
    return f"{installed.name} {installed.version} {_recorded(installed)}"


def _recorded(installed: Distribution) -> str:
    """Return a hash of the hashes of a distribution's files, as its installer noted them.

    One's own package may be installed anew under the same version. Scripts, which lie outside, hold
    a path of the machine.
    """
    lines = (installed.read_text("RECORD") or "").splitlines()
    files = [
        line
        for line in lines
        if ",sha256=" in line and ".dist-info/" not in line and not line.startswith("..")
    ]
    return hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()


@cache
def _distributions() -> dict[str, list[str]]:
    """Return the names of the distributions that hold each top-level package."""
    return dict(packages_distributions())
