"""Find which code a run can execute, from import statements alone.

Nothing is imported for that.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from typing import NamedTuple

from plasticity_lab.studies.sources import Sources

WHOLE = ""
"""Stands for a module itself, where the name of something in it may stand."""


class Reachable(NamedTuple):
    """Code that can be executed.

    Attributes:
        modules: names of modules with a file, of this project and of the user's own.
        others: names of all other top-level packages that are imported.
    """

    modules: frozenset[str]
    others: frozenset[str]


def reachable_code(roots: Iterable[tuple[str, str]], sources: Sources) -> Reachable:
    """Return the code that some modules can execute, these modules included.

    Every import statement counts, wherever it stands, but for those under `if TYPE_CHECKING:`: the
    module that is named, the packages that hold it, and all that these import in turn. What is
    imported without a statement (`import_module(name)`) is not seen.

    One rule makes that smaller for this project's packages. An `__init__` of theirs that does
    nothing but import names and list them is looked through: `from package import name` leads to
    the module that defines the name, and to nothing else that the `__init__` imports.

    Args:
        roots: what is executed first, as of `from module import name`: pairs of a module and of a
            name in it, `WHOLE` for the module itself.
        sources: where modules are looked up.

    Example:
        ```python
        sources = Sources(Path("."), ["callbacks", "datamodules"])
        found = reachable_code([("callbacks", "ShrinkPerturb")], sources)
        assert "callbacks.interventions.base" in found.modules
        ```
    """
    seen: set[tuple[str, str]] = set()
    waiting = list(roots)
    while waiting:
        pair = waiting.pop()
        if pair not in seen:
            seen.add(pair)
            waiting += _leads_to(*pair, sources)
    whole = {module for module, name in seen if name == WHOLE and sources.file(module)}
    packages = {module.partition(".")[0] for module, _ in seen}
    others = {package for package in packages if not sources.file(package)}
    return Reachable(frozenset(whole), frozenset(others))


def _leads_to(module: str, name: str, sources: Sources) -> Iterator[tuple[str, str]]:
    """Yield what a module, or a name that is imported from it, leads to at once."""
    parsed = _parsed_module(module, sources)
    inside = f"{module}.{name}"
    if name == WHOLE:
        # The packages that hold a module are imported before it.
        for package in _packages(module):
            if not _is_looked_through(package, sources):
                yield package, WHOLE
        for imported in parsed.modules:
            for part in (imported, *_packages(imported)):
                yield part, WHOLE
        for _, origin, original in parsed.names:
            yield from _imported(origin, original, module, sources)
    elif not _is_looked_through(module, sources):
        yield module, WHOLE
        yield inside, WHOLE
    else:
        defined = False
        for bound, origin, original in parsed.names:
            if bound == name:
                defined = True
                yield from _imported(origin, original, module, sources)
        if sources.file(inside):
            yield inside, WHOLE
        elif not defined:
            yield module, WHOLE


def _imported(origin: str, name: str, module: str, sources: Sources) -> Iterator[tuple[str, str]]:
    """Yield what `from origin import name` inside a module imports."""
    package = module if sources.is_package(module) else module.rpartition(".")[0]
    try:
        absolute = resolve_name(origin, package)
    except ImportError:
        # There is no such package, so the statement fails, which the module may expect.
        return
    yield absolute, name


def _is_looked_through(module: str, sources: Sources) -> bool:
    of_project = sources.is_of_project(module) and sources.is_package(module)
    return of_project and _parsed_module(module, sources).only_names


def _packages(module: str) -> Iterator[str]:
    """Yield the names of the packages that hold a module."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


class _Parsed(NamedTuple):
    """What a source imports.

    Attributes:
        modules: names of modules in `import` statements.
        names: of each `from origin import original as bound` the name that is bound, the origin as
            it is written, and the original name.
        only_names: whether it does nothing but import single names and list them.
    """

    modules: frozenset[str]
    names: frozenset[tuple[str, str, str]]
    only_names: bool


class _Reader(ast.NodeVisitor):
    """Collects imports."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.names: set[tuple[str, str, str]] = set()

    def visit_If(self, node: ast.If) -> None:
        """Leave out what is imported for type checkers alone."""
        if _is_type_checking(node.test):
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Note `import a.b`."""
        self.modules.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Note `from a import b as c`, and `from a import *`, whose name is `*`."""
        origin = "." * node.level + (node.module or "")
        for alias in node.names:
            self.names.add((alias.asname or alias.name, origin, alias.name))


def _parsed_module(module: str, sources: Sources) -> _Parsed:
    file = sources.file(module)
    return _parsed(sources.content(module) if file and file.suffix == ".py" else b"")


@cache
def _parsed(content: bytes) -> _Parsed:
    try:
        # The parser reads in which encoding the bytes are.
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        # It cannot be imported, so it imports nothing.
        tree = ast.parse("")
    reader = _Reader()
    reader.visit(tree)
    only_names = all(map(_imports_or_lists_names, tree.body))
    return _Parsed(frozenset(reader.modules), frozenset(reader.names), only_names)


def _imports_or_lists_names(statement: ast.stmt) -> bool:
    """Whether a statement imports single names, documents, or lists names in `__all__`."""
    if isinstance(statement, ast.Assign):
        return all(
            isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets
        )
    if isinstance(statement, ast.If):
        return _is_type_checking(statement.test) and not statement.orelse
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.ImportFrom):
        return all(alias.name != "*" for alias in statement.names)
    return False


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"
