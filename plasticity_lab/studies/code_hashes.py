"""Hashes of the code that decides a run's numbers, which are a part of the names of its states."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from plasticity_lab.project import BESIDE, CODE, PACKAGE
from plasticity_lab.studies.classes import class_of, class_paths
from plasticity_lab.studies.reachable_code import Sources, reachable_sources

TRAINS = "plasticity_lab.studies.segment"
"""The code by which every run is trained.

The rest of the studies is no part of the hash unless that uses it: what is planned and reported
changes no number.
"""


@cache
def project_sources() -> Sources:
    """Return the sources of this project and of the user's classes, read once a process."""
    return Sources(CODE, (PACKAGE.name, *BESIDE))


class CodeHashes:
    """Hashes of the sources that classes of a config can execute, with all that trains them.

    A class that is not named, and that nothing named uses, may be edited without any run being
    another.

    Args:
        sources: where modules are looked up.
        trusted: hashes by the classes they belong to, of earlier code that is trusted to give the
            same numbers: taken instead of those of the sources.

    Attributes:
        used: what has been returned so far, to be trusted later.
    """

    def __init__(self, sources: Sources, trusted: Mapping[str, str] | None = None) -> None:
        self.sources = sources
        self.trusted = trusted or {}
        self.used: dict[str, str] = {}

    def __call__(self, nest: Any) -> str:
        """Return the hash that belongs to all classes of a part of a config."""
        paths = sorted(set(class_paths(nest)))
        key = " ".join(paths)
        if key not in self.used:
            self.used[key] = self.trusted.get(key) or self._present(paths)
        return self.used[key]

    def _present(self, paths: Iterable[str]) -> str:
        return self.sources.digest(reachable_sources(roots(paths), self.sources))


def roots(paths: Iterable[str]) -> set[str]:
    """Return the modules from which a run begins that uses classes of some paths."""
    modules = {TRAINS}
    for path in paths:
        # A class of an installed package has no source here, but may have bases of this project.
        modules |= {kind.__module__ for kind in class_of(path).__mro__}
    return modules
