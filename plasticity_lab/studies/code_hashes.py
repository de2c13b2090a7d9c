"""Hashes of the code that decides a run's numbers, which are a part of the names of its states."""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from plasticity_lab.project import BESIDE, CODE, PACKAGE
from plasticity_lab.runs.type_hints import class_of
from plasticity_lab.studies.classes import class_paths, dotted_names
from plasticity_lab.studies.installed_packages import versions
from plasticity_lab.studies.reachable_code import WHOLE, reachable_code
from plasticity_lab.studies.sources import Sources

TRAINS = "plasticity_lab.studies.segment"
"""The code by which every run is trained.

The rest of the studies is no part of the hash unless that uses it: what is planned and reported
changes no number.
"""

WITHOUT_NUMBERS = frozenset(
    ["filelock", "jsonargparse", "matplotlib", "tensorboard", "tqdm", "yaml"]
)
"""Packages that files, logs and figures are written with; their versions change no number."""


@cache
def project_sources() -> Sources:
    """Return the sources of this project and of the user's classes, read once a process."""
    return Sources(CODE, (PACKAGE.name, *BESIDE))


class CodeHashes:
    """Hashes of the code that parts of a config can execute, with all that trains them.

    Sources of this project and of the user's own count by what is in them, installed packages by
    their versions. Code that is not named, and that nothing named uses, may be edited without any
    run being another.

    Args:
        sources: where modules are looked up.
        trusted: hashes by the names they belong to, of earlier code that is trusted to give the
            same numbers: taken instead of those of the sources.

    Attributes:
        used: what has been returned so far, to be trusted later.
    """

    def __init__(self, sources: Sources, trusted: Mapping[str, str] | None = None) -> None:
        self.sources = sources
        self.trusted = trusted or {}
        self.used: dict[str, str] = {}

    def __call__(self, nest: Any) -> str:
        """Return the hash that belongs to all classes and functions of a part of a config."""
        key = " ".join(sorted(set(dotted_names(nest))))
        if key not in self.used:
            self.used[key] = self.trusted.get(key) or self._present(nest)
        return self.used[key]

    def _present(self, nest: Any) -> str:
        """Return a hash of names and contents; where files lie does not count."""
        reachable = reachable_code(roots(nest, self.sources), self.sources)
        content = hashlib.sha256()
        for module in sorted(reachable.modules):
            content.update(f"{module}\n".encode() + self.sources.content(module))
        for package in sorted(reachable.others - WITHOUT_NUMBERS):
            content.update("\n".join(versions(package)).encode())
        return content.hexdigest()


def roots(nest: Any, sources: Sources) -> set[tuple[str, str]]:
    """Return what a run executes first that uses a part of a config.

    A dotted name may be a class, a function, or a type that is an argument.
    """
    found = {(TRAINS, WHOLE)}
    for path in dotted_names(nest):
        module, name = path, WHOLE
        while "." in module and not sources.file(module):
            module, _, name = module.rpartition(".")
        found.add((module, name))
    # A class of an installed package has no source here, but may have bases of this project.
    for path in class_paths(nest):
        found |= {(kind.__module__, WHOLE) for kind in getattr(class_of(path), "__mro__", ())}
    return found
