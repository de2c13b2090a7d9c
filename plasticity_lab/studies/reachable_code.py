"""Find which sources a run can execute, from their import statements alone.

Nothing is imported for that.
"""

import ast
import hashlib
import sysconfig
import tokenize
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.errors import UserError


class Sources:
    """Source files by the names of their modules, each read once.

    So all answers are about the same text.

    Modules of the standard library and of installed packages have none: their versions tell what
    they are.

    Args:
        folder: holds the packages of this project.
        packages: their names. A module of another name is looked for where Python looks.
    """

    def __init__(self, folder: Path, packages: Collection[str]) -> None:
        self.folder = folder
        self.packages = packages
        self._files: dict[str, Path | None] = {}
        self._texts: dict[str, str] = {}

    def file(self, module: str) -> Path | None:
        """Return the file of a module, a package's `__init__.py`; None if it is no source."""
        if module not in self._files:
            self._files[module] = self._find(module)
        return self._files[module]

    def text(self, module: str) -> str:
        """Return the text of a module that has a file."""
        if module not in self._texts:
            file = self.file(module)
            assert file
            # In the encoding that it declares.
            with tokenize.open(file) as opened:
                self._texts[module] = opened.read()
        return self._texts[module]

    def parsed(self, module: str) -> "_Parsed":
        """Return what a module that has a file imports.

        Raises:
            UserError: for a source that is no Python.
        """
        try:
            return _parsed(self.text(module))
        except (SyntaxError, UnicodeDecodeError) as error:
            line = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else error
            raise UserError(self.file(module), problem=line, fix="correct it") from None

    def is_package(self, module: str) -> bool:
        """Whether a module is a package with an `__init__.py`."""
        file = self.file(module)
        return file is not None and file.name == "__init__.py"

    def digest(self, modules: Iterable[str]) -> str:
        """Return a hash of names and texts of modules; where their files lie does not count."""
        content = hashlib.sha256()
        for module in sorted(modules):
            content.update(f"{module}\n{self.text(module)}\n".encode())
        return content.hexdigest()

    def _find(self, module: str) -> Path | None:
        top = module.partition(".")[0]
        folder = self.folder if top in self.packages else _folder_of_own(top)
        if folder is None:
            return None
        path = folder.joinpath(*module.split("."))
        candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
        return next((file for file in candidates if file.is_file()), None)


def reachable_sources(roots: Iterable[str], sources: Sources) -> frozenset[str]:
    """Return the modules whose code some modules can execute, these modules included.

    Import statements are followed wherever they stand, also inside functions, but not under `if
    TYPE_CHECKING:`. A package's `__init__` that does nothing but import and list names is looked
    through: `from package import Name`, `package.Name` and `package.module.name` lead to the module
    that defines the name, and to nothing else that the `__init__` imports. A package that is
    imported and never used leads nowhere. Where a name cannot be resolved, or a package is used as
    a whole (passed on, imported from by `*`), all that its `__init__` imports counts. What is
    imported by a text (`import_module("…")`) is not seen.

    Args:
        roots: names of modules; those without a source are left out.
        sources: where modules are looked up; imports of others are not followed.

    Example:
        ```python
        sources = Sources(Path("."), ["callbacks", "datamodules"])
        assert "callbacks.clock" in reachable_sources(["callbacks.interventions.base"], sources)
        ```
    """
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in reached or sources.file(module) is None:
            continue
        reached.add(module)
        waiting += _followed(module, sources)
        # The packages that hold a module are imported before it, which counts if they do something.
        packages = [package for package in _parents(module) if sources.file(package)]
        waiting += [package for package in packages if not sources.parsed(package).transparent]
    return frozenset(reached)


class _Parsed(NamedTuple):
    """What a source imports and how it uses that.

    Attributes:
        modules: names of modules in `import` statements.
        names: what names stand for: pairs of a module and of a name in it, "" for the module
            itself. A name may be bound several times.
        everything: modules of which all names are imported.
        uses: dotted names in expressions, each as a tuple, as long as it is written.
        transparent: whether it does nothing but import and list names.
    """

    modules: frozenset[str]
    names: frozenset[tuple[str, str, str]]
    everything: frozenset[str]
    uses: frozenset[tuple[str, ...]]
    transparent: bool


class _Reader(ast.NodeVisitor):
    """Collects what `_Parsed` holds."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.names: set[tuple[str, str, str]] = set()
        self.everything: set[str] = set()
        self.uses: set[tuple[str, ...]] = set()

    def visit_If(self, node: ast.If) -> None:
        """Leave out what is imported for type checkers alone."""
        if _is_type_checking(node.test):
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Note `import a.b`, which binds `a`, and `import a.b as c`."""
        for alias in node.names:
            self.modules.add(alias.name)
            if alias.asname:
                self.names.add((alias.asname, alias.name, ""))
            else:
                top = alias.name.partition(".")[0]
                self.names.add((top, top, ""))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note `from a import b as c` and `from a import *`."""
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self.everything.add(module)
            else:
                self.names.add((alias.asname or alias.name, module, alias.name))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note `a.b.c` once, as a whole."""
        parts = [node.attr]
        inner = node.value
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self.uses.add((inner.id, *reversed(parts)))
        else:
            self.visit(inner)

    def visit_Name(self, node: ast.Name) -> None:
        """Note a name that stands alone."""
        if isinstance(node.ctx, ast.Load):
            self.uses.add((node.id,))


@cache
def _parsed(text: str) -> _Parsed:
    tree = ast.parse(text)
    reader = _Reader()
    reader.visit(tree)
    return _Parsed(
        frozenset(reader.modules),
        frozenset(reader.names),
        frozenset(reader.everything),
        frozenset(reader.uses),
        all(map(_only_names, tree.body)),
    )


def _only_names(statement: ast.stmt) -> bool:
    """Whether a statement imports, documents, or lists names in `__all__`."""
    if isinstance(statement, ast.Assign):
        return all(
            isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets
        )
    if isinstance(statement, ast.If):
        return _is_type_checking(statement.test) and not statement.orelse
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _followed(module: str, sources: Sources) -> Iterator[str]:
    """Yield the modules that a module's own statements lead to."""
    parsed = sources.parsed(module)
    for imported in parsed.modules:
        yield from _definers(imported, (), sources, whole_package=False)
    for imported in parsed.everything:
        yield from _definers(_absolute(imported, module, sources), (), sources)
    for name, origin, attribute in parsed.names:
        origin = _absolute(origin, module, sources)
        first = (attribute,) if attribute else ()
        # An import alone leads to a module, but not into a package, of which what is used counts.
        yield from _definers(origin, first, sources, whole_package=False)
        for use in parsed.uses:
            if use[0] == name:
                yield from _definers(origin, (*first, *use[1:]), sources)


def _definers(
    module: str,
    names: tuple[str, ...],
    sources: Sources,
    whole_package: bool = True,
    visited: frozenset[tuple[str, ...]] = frozenset(),
) -> Iterator[str]:
    """Yield the modules that define `module.name1.name2…`.

    Args:
        module: where to begin.
        names: attributes, one inside the other; once a module is reached that is no package, the
            rest is its own matter.
        sources: where modules are looked up.
        whole_package: whether a package at the end of the names counts, with all that it imports.
        visited: what has been looked at on the way here.
    """
    node = (module, *names)
    if not sources.is_package(module):
        # A folder without `__init__.py` may hold modules, too.
        if sources.file(module):
            yield module
        elif names and node not in visited:
            yield from _definers(
                f"{module}.{names[0]}", names[1:], sources, whole_package, visited | {node}
            )
        return
    parsed = sources.parsed(module)
    if not parsed.transparent or node in visited or (whole_package and not names):
        yield module
    if not names or node in visited:
        return

    # As Python does, take what the `__init__` binds first, then a module of that name.
    first, *remaining = names
    bindings = [
        (_absolute(origin, module, sources), attribute)
        for name, origin, attribute in parsed.names
        if name == first
    ]
    # `from . import name` binds the module of that name.
    bindings = [pair for pair in bindings if pair != (module, first)]
    for origin, attribute in bindings:
        inner = (attribute, *remaining) if attribute else tuple(remaining)
        yield from _definers(origin, inner, sources, whole_package, visited | {node})
    if bindings:
        return
    submodule = f"{module}.{first}"
    if sources.file(submodule):
        yield from _definers(submodule, tuple(remaining), sources, whole_package, visited | {node})
    else:
        yield module


def _absolute(name: str, module: str, sources: Sources) -> str:
    """Return the name of a module as an import inside another module means it."""
    package = module if sources.is_package(module) else module.rpartition(".")[0]
    return resolve_name(name, package) if name.startswith(".") else name


def _parents(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _folder_of_own(top: str) -> Path | None:
    """Return the folder of a module or package of the user's own; None if it is installed."""
    spec = PathFinder.find_spec(top)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or filter(None, [spec.origin]))
    folder = Path(places[0]).absolute().parent if places else None
    if folder is None or {"site-packages", "dist-packages"} & set(folder.parts):
        return None
    standard = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    return None if any(folder.is_relative_to(place) for place in standard) else folder
