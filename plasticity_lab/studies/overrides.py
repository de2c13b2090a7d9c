"""Dotted keys of a study's runs: how parts of a study add up, and the config they make."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from plasticity_lab.errors import UserError


def added_up(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the keys of several parts as one mapping.

    A key of a later part replaces the same key of earlier ones, with all that was added to it. A
    key that ends in `+` adds to the list that earlier parts or, if they have none, the config's
    files have made.

    Args:
        parts: mappings from dotted keys to values, earliest first.
    """
    total: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if key.endswith("+"):
                # To the list itself where it is known: a config with both `key` and `key+` would
                # keep one of them.
                place = key[:-1] if key[:-1] in total else key
                total[place] = [*_items(total.get(place)), *_items(value)]
                continue
            # Taken out first, as the order of keys is the order in which they take effect.
            for earlier in (key, f"{key}+"):
                total.pop(earlier, None)
            total[key] = value
    return total


def nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as the nest that a config file has, of copies of their values.

    Raises:
        UserError: if one key names a part of another's value that has no keys.
    """
    nest: dict[str, Any] = {}
    for key, value in overrides.items():
        *folders, last = key.split(".")
        inner = nest
        for depth, folder in enumerate(folders, 1):
            inner = inner.setdefault(folder, {})
            if not isinstance(inner, dict):
                parent_key = ".".join(folders[:depth])
                raise UserError(
                    key,
                    problem=f"{parent_key} is set to {inner}, which has no keys",
                    fix="set the whole of it, or its parts",
                )
        inner[last] = deepcopy(value)
    return nest


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
