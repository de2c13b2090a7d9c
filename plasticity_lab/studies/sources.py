"""Find the files of modules, without importing any."""

from collections.abc import Collection
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.studies.installed_packages import is_installed
from plasticity_lab.studies.stamps import Stamp, stamp

SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)


class Sources:
    """Files of this project's and the user's modules by their names, each read once.

    So all answers are about the same content. Modules of the standard library and of installed
    packages have no file here: their versions tell what they are.

    Args:
        folder: holds the packages of this project.
        packages: their names. A module of another name is looked for where Python looks.

    Attributes:
        stamps: of the files that have been read, as they were just before.
    """

    def __init__(self, folder: Path, packages: Collection[str]) -> None:
        self.folder = folder
        self.packages = packages
        self._places: dict[str, _Place] = {}
        self._contents: dict[str, bytes] = {}
        self.stamps: dict[str, Stamp] = {}

    def file(self, module: str) -> Path | None:
        """Return the file of a module, a package's `__init__.py`; None if it has none here."""
        return self._place(module).file

    def content(self, module: str) -> bytes:
        """Return what is in the file of a module; nothing if it has none."""
        if module not in self._contents:
            file = self.file(module)
            if file:
                self.stamps[str(file)] = stamp(str(file))
            self._contents[module] = file.read_bytes() if file else b""
        return self._contents[module]

    def is_package(self, module: str) -> bool:
        """Whether a module is a package with an `__init__.py`."""
        file = self.file(module)
        return file is not None and file.stem == "__init__"

    def is_of_project(self, module: str) -> bool:
        """Whether a module is in a package of this project."""
        return module.partition(".")[0] in self.packages

    def _place(self, module: str) -> "_Place":
        if module not in self._places:
            self._places[module] = self._find(module)
        return self._places[module]

    def _find(self, module: str) -> "_Place":
        package, _, name = module.rpartition(".")
        if package:
            return _look(name, self._place(package).folders)
        if self.is_of_project(module):
            return _look(name, (self.folder,))
        return _found_by_python(module)


class _Place(NamedTuple):
    """Where a module lies.

    Attributes:
        file: what Python executes when it imports the module; None if there is nothing.
        folders: of a package, where its modules lie.
    """

    file: Path | None
    folders: tuple[Path, ...]


def _look(name: str, folders: tuple[Path, ...]) -> _Place:
    """Look in folders for a package, then a module, then for a package without `__init__.py`."""
    for folder in folders:
        for path, inside in ((folder / name / "__init__", (folder / name,)), (folder / name, ())):
            for suffix in SUFFIXES:
                file = path.with_name(path.name + suffix)
                if file.is_file():
                    return _Place(file, inside)
    return _Place(None, tuple(folder / name for folder in folders if (folder / name).is_dir()))


def _found_by_python(package: str) -> _Place:
    """Return where Python finds a top-level package or module that is the user's own.

    Finders are asked, as an editable installation may bring one. That imports nothing, since the
    package is in no other one.
    """
    try:
        spec = find_spec(package)
    except ValueError:
        # The module was made by hand.
        spec = None
    if spec is None:
        return _Place(None, ())
    file = Path(spec.origin).absolute() if spec.has_location and spec.origin else None
    if file is not None and (is_installed(package, file) or not file.is_file()):
        file = None
    folders = [Path(folder).absolute() for folder in spec.submodule_search_locations or ()]
    return _Place(file, tuple(path for path in folders if not is_installed(package, path)))
