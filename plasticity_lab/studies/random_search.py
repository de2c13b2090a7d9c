"""Values of an axis that are drawn instead of listed: random search."""

import hashlib
import math
from typing import Any

from plasticity_lab.errors import UserError

LARGEST = 2**53
"""Largest number of a range: up to here whole numbers are exact as floats too."""

PATIENCE = 100
"""Draws for each value that is wanted, after which there seem to be no others."""

KINDS = ("uniform", "log_uniform", "integers", "choice")


def drawn(key: str, entry: dict[str, Any]) -> list[Any]:
    """Return values drawn for a key of an axis.

    In YAML `{log_uniform: [0.001, 1.0], draws: 20}`, and so `uniform`, `integers` (both ends
    included) and `choice` (of a list). Draws depend on the key and on their number alone, so that
    more of them keep the first ones; floats have four significant digits.

    Args:
        key: of the axis.
        entry: kind and range, and `draws`, their number.

    Raises:
        UserError: for another kind, range or number.

    Example:
        ```python
        rates = drawn("rate", {"log_uniform": [0.001, 1.0], "draws": 20})
        ```
    """
    kinds = [kind for kind in entry if kind in KINDS]
    count = entry.get("draws")
    if len(kinds) != 1 or set(entry) != {kinds[0], "draws"} or type(count) is not int or count < 1:
        raise UserError(
            f"axes: {key}",
            value=entry,
            fix=f"set a list of values, or one of {', '.join(KINDS)} with draws, their number",
        )
    (kind,) = kinds
    values = entry[kind]
    _check(f"axes: {key}: {kind}", kind, values)
    # Equal draws are passed over.
    chosen: dict[Any, None] = {}
    for number in range(count * PATIENCE):
        chosen[_value(kind, values, _uniform(key, number))] = None
        if len(chosen) == count:
            return list(chosen)
    raise UserError(
        f"axes: {key}",
        value=entry,
        problem="there are not so many values to draw",
        fix="set fewer draws, or a wider range",
    )


def _check(name: str, kind: str, values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise UserError(name, value=values, fix="set a list")
    if kind == "choice":
        return
    types = (int,) if kind == "integers" else (int, float)
    usable = all(type(value) in types and abs(value) <= LARGEST for value in values)
    ordered = len(values) == 2 and usable
    if not ordered or not values[0] < values[1]:
        numbers = "whole numbers" if kind == "integers" else "numbers"
        raise UserError(name, value=values, fix=f"set two {numbers}, the smaller one first")
    if kind == "log_uniform" and values[0] <= 0:
        raise UserError(name, value=values, problem="has a logarithm", fix="set numbers above 0")


def _uniform(key: str, number: int) -> float:
    """Return a number in [0, 1) that depends on a key and a counter alone."""
    digest = hashlib.sha256(f"random search\0{key}\0{number}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _value(kind: str, values: list[Any], share: float) -> Any:
    if kind == "choice":
        return values[int(share * len(values))]
    low, high = values
    if kind == "integers":
        return low + int(share * (high - low + 1))
    if kind == "uniform":
        value = low + share * (high - low)
    else:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return min(max(float(f"{value:.4g}"), low), high)
