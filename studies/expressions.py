"""Values of a study that are computed from others: `"{removed + 20}"`."""

import ast
import operator
import re
from collections.abc import Mapping
from typing import Any

from errors import UserError

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}
_BRACES = re.compile(r"\{([^{}]+)\}")


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """Return a nest of lists, dictionaries and values with all `{expressions}` in its strings computed.

    A string that is one expression becomes its value, with its type; in a longer one the values are written in.

    Raises:
        UserError: for an unknown variable, or anything but numbers, variables, + - * //.
    """
    if isinstance(value, dict):
        return {filled(key, variables): filled(part, variables) for key, part in value.items()}
    if isinstance(value, list):
        return [filled(part, variables) for part in value]
    if not isinstance(value, str):
        return value
    if whole := _BRACES.fullmatch(value):
        return _computed(whole[1], variables)
    return _BRACES.sub(lambda found: str(_computed(found[1], variables)), value)


def _computed(text: str, variables: Mapping[str, Any]) -> Any:
    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name) and node.id in variables:
            return variables[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        raise UserError(f"{{{text}}}: write numbers, + - * // and the variables {', '.join(variables)}")

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError):
        raise UserError(f"{{{text}}}: is no sum or product of numbers and variables") from None
