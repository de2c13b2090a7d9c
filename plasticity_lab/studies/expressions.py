"""Values of a study that are computed from others: `"{removed + 20}"`."""

import ast
import operator
import re
from collections.abc import Iterator, Mapping
from typing import Any

from plasticity_lab.errors import UserError

LONGEST = 200
"""Characters of an expression."""

LONGEST_TEXT = 10_000
"""Characters of a text with expressions, and of each value that is written into it."""

LARGEST = 2**53
"""Largest number that an expression may give: up to here whole numbers are exact as floats too."""

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_BRACES = re.compile(r"\{([^{}]+)\}")


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """Return nested lists and dictionaries with all `{expressions}` in strings evaluated.

    A string that is one expression becomes its value, with its type; in a longer one the values are
    written in.

    Raises:
        UserError: for an unknown variable, anything but numbers, variables, + - * //, or what is
            too long or too large.
    """
    if isinstance(value, dict):
        return {filled(key, variables): filled(part, variables) for key, part in value.items()}
    if isinstance(value, list):
        return [filled(part, variables) for part in value]
    if not isinstance(value, str):
        return value
    if match := _BRACES.fullmatch(value):
        return _computed(match[1], variables)
    if "{" in value and len(value) > LONGEST_TEXT:
        raise UserError(
            _shown(value),
            problem=f"has {len(value)} characters",
            fix=f"a text with expressions has at most {LONGEST_TEXT}",
        )
    return _BRACES.sub(lambda match: _written(match[1], variables), value)


def names(value: Any) -> Iterator[str]:
    """Yield the variables that the expressions in a nest of lists, dictionaries and values name.

    Raises:
        UserError: as `filled`.
    """
    if isinstance(value, dict):
        for key, part in value.items():
            yield from names(key)
            yield from names(part)
    elif isinstance(value, list):
        for part in value:
            yield from names(part)
    elif isinstance(value, str):
        for text in _BRACES.findall(value):
            yield from (node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name))


def _written(text: str, variables: Mapping[str, Any]) -> str:
    text_value = str(_computed(text, variables))
    if len(text_value) > LONGEST_TEXT:
        raise UserError(
            f"{{{text}}}",
            problem=f"has {len(text_value)} characters",
            fix=f"a value written into a text has at most {LONGEST_TEXT}",
        )
    return text_value


def _computed(text: str, variables: Mapping[str, Any]) -> Any:
    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value
        if isinstance(node, ast.Name) and node.id in variables:
            return variables[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _calculated(text, node.op, value(node.left), value(node.right))
        raise UserError(
            f"{{{text}}}", fix=f"use numbers, + - * // and the variables {', '.join(variables)}"
        )

    return value(_parsed(text))


def _calculated(text: str, kind: ast.operator, left: Any, right: Any) -> int | float:
    for side in (left, right):
        if type(side) not in (int, float):
            raise UserError(
                f"{{{text}}}",
                problem=f"{_shown(side)} is no number, and only numbers are calculated with",
            )
    # Refused here, as products of texts and of huge numbers take more memory than there is.
    try:
        result: int | float = _OPERATORS[type(kind)](left, right)
    except ZeroDivisionError:
        raise UserError(f"{{{text}}}", problem="divides by 0", fix="use another divisor") from None
    if not abs(result) <= LARGEST:
        raise UserError(
            f"{{{text}}}", problem=f"comes to more than {LARGEST}", fix="choose smaller numbers"
        )
    return result


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise UserError(
            f"{{{_shown(text)}}}",
            problem=f"has {len(text)} characters",
            fix=f"an expression has at most {LONGEST}",
        )
    try:
        return ast.parse(text.strip(), mode="eval").body
    # Too many digits raise a ValueError, too many brackets a MemoryError or RecursionError.
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise UserError(
            f"{{{text}}}", problem="is no sum or product of numbers and variables"
        ) from None


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
