"""YAML files as users write them: read strictly, so that nothing in them is silently lost."""

from pathlib import Path
from typing import Any

import yaml

from plasticity_lab.errors import UserError


class RepeatedKey(UserError):
    """A key that stands twice in one mapping."""


def load_yaml(file: Path) -> Any:
    """Read a YAML file, whose keys may not repeat: plain YAML keeps the last and drops the others.

    Args:
        file: UTF-8 text, with or without a byte order mark.

    Raises:
        UserError: for a file that cannot be read, is not UTF-8 or not YAML, or has a key twice in
            one mapping, at whatever depth. The line names the file, and the line in it.
    """
    try:
        return parse_yaml(file.read_bytes().decode("utf-8-sig"), str(file))
    except OSError as error:
        raise UserError(
            f"{file}: cannot be read", problem=error.strerror, fix="name another file"
        ) from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(
            file,
            problem=f"is not UTF-8 text (byte 0x{byte:02x} at {error.start})",
            fix="save it as UTF-8",
        ) from None


def parse_yaml(text: str, name: str) -> Any:
    """Read YAML text as `load_yaml` does.

    Args:
        text: what is read.
        name: what errors call it.

    Raises:
        UserError: as `load_yaml`.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_ends(node, name, [], set())
        _check_keys(node, name, set())
        return loader.construct_document(node)
    except RecursionError:
        raise UserError(name, problem="is nested too deeply", fix="use fewer levels") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise UserError(
            f"{name}: line {(mark.line + 1 if mark else 1)}", problem=reason, fix="correct it"
        ) from None
    # Constructors raise ValueError for what looks like a date or a number and is none.
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(
            f"{name}: is not YAML", problem=" ".join(str(error).split()), fix="correct it"
        ) from None


def _check_ends(node: yaml.Node, name: str, above: list[yaml.Node], visited: set[int]) -> None:
    """Raise UserError for an anchored node that holds itself: no settings are endless."""
    if any(node is parent for parent in above):
        line = node.start_mark.line + 1
        raise UserError(f"{name}: line {line}", problem="holds itself", fix="write it out")
    if id(node) in visited or not isinstance(node, yaml.CollectionNode):
        return
    visited.add(id(node))
    for part in node.value:
        for child in part if isinstance(part, tuple) else (part,):
            _check_ends(child, name, [*above, node], visited)


def _check_keys(node: yaml.Node, name: str, visited: set[int]) -> None:
    """Raise RepeatedKey for a key that stands twice in one mapping at or below a node."""
    # An anchored node is met once for each alias, and may hold itself.
    if id(node) in visited:
        return
    visited.add(id(node))

    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, name, visited)

    if isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            _check_keys(value, name, visited)
            # Several merge keys (`<<`) all count, so that nothing is lost.
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            line, identity = key.start_mark.line + 1, (key.tag, key.value)
            if identity in lines:
                raise RepeatedKey(
                    f"{name}: line {line}: {key.value}",
                    problem=f"is written twice, first in line {lines[identity]}",
                    fix="keep one, with all that belongs to it",
                )
            lines[identity] = line
