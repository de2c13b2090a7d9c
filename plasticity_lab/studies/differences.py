"""In which keys two configs differ."""

import json
from collections.abc import Iterator
from typing import Any


def differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """Yield a line `key: old -> new` for each key in which two configs differ.

    A list of classes is compared class by class, named as `trainer.callbacks.LayerReset`.
    """
    if old == new:
        return
    # A missing list of classes is an empty one.
    before = _keyed([] if old is None and isinstance(new, list) else old)
    after = _keyed([] if new is None and isinstance(old, list) else new)
    if before is None or after is None or _class(old) != _class(new):
        yield f"{key}: {_written(old)} -> {_written(new)}"
        return
    # Keys such as times are values themselves, and are shown together.
    if isinstance(old, dict) and key and {*before} != {*after}:
        yield f"{key}: {_written(old)} -> {_written(new)}"
        return
    if list(before) != list(after) and before == after:
        yield f"{key}: {', '.join(before)} -> {', '.join(after)}"
    for part in {**before, **after}:
        path = f"{key}.{part}" if key else part
        if part not in before or part not in after:
            yield f"{path}: {_written(before.get(part))} -> {_written(after.get(part))}"
        else:
            yield from differences(before[part], after[part], path)


def _class(value: Any) -> Any:
    return value.get("class_path") if isinstance(value, dict) else None


def _keyed(value: Any) -> dict[str, Any] | None:
    """Return a mapping, or a list of classes as a mapping from their names.

    A class that stands there twice is numbered.
    """
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not all(_class(node) for node in value):
        return None
    by_name: dict[str, Any] = {}
    for node in value:
        name = _short(node["class_path"])
        count = sum(earlier.partition(" ")[0] == name for earlier in by_name)
        by_name[f"{name} {count + 1}" if count else name] = node
    return by_name


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def _written(value: Any) -> str:
    """Write a value as text: a class with its arguments as a call, all else as JSON."""
    if _class(value):
        init_args = value.get("init_args") or {}
        arguments = [f"{name}={_written(argument)}" for name, argument in init_args.items()]
        return f"{_short(value['class_path'])}({', '.join(arguments)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        entries = [f"{name}: {_written(entry)}" for name, entry in value.items()]
        return f"{{{', '.join(entries)}}}"
    return "none" if value is None else json.dumps(value, default=str, ensure_ascii=False)
