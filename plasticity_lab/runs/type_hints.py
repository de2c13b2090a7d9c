"""Classes of the user's own whose arguments lack the type hints by which YAML is read."""

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, get_args

from plasticity_lab.errors import UserError
from plasticity_lab.runs.config_checks import LINKS
from plasticity_lab.timing import Time

_TIME = re.compile(r"\d+(\.\d+)?(ep|st|%)|stages?\d*")


def check_nulls(settings: Any) -> None:
    """Raise UserError for a `null` that an argument does not take.

    The parser accepts those that come from files.

    Args:
        settings: the parsed ones.
    """
    # These are null until the data are known.
    linked = {link.key[-1] for link in LINKS}
    for kind, arguments in _classes(settings):
        for key, parameter in inspect.signature(kind).parameters.items():
            is_null = key in arguments and arguments[key] is None
            if is_null and key not in linked and not _takes_none(parameter):
                hint = _as_text(parameter.annotation)
                raise UserError(
                    f"{kind.__name__}: {key}",
                    value="null",
                    problem=f"is no {hint}",
                    fix="set one, or remove it",
                )


def check_size(kind: type, name: str, data: type, source: str) -> None:
    """Raise UserError for a size of a network that neither the data nor the user gives.

    Args:
        kind: the network's class.
        name: of its argument, which is null.
        data: the class of the data.
        source: what data have that gives the argument, and these have not.
    """
    parameter = inspect.signature(kind).parameters.get(name)
    if parameter is not None and not _takes_none(parameter):
        raise UserError(
            f"{kind.__name__}: {name}",
            problem=f"{data.__name__} has no {source} that gives it",
            fix="set a value",
        )


def _takes_none(parameter: inspect.Parameter) -> bool:
    hint = parameter.annotation
    undecided = hint in (parameter.empty, Any, None) or isinstance(hint, str)
    return (
        undecided
        or parameter.default is None
        or type(None) in get_args(hint)
        or parameter.kind is parameter.VAR_KEYWORD
    )


def check_hints(settings: Any) -> None:
    """Raise UserError for an argument that stays plain text where its class needs a moment.

    An argument without a type hint gets what YAML says as it stands. That will not do where a base
    class declares the argument, nor for a text that is a moment.

    Args:
        settings: the parsed ones.
    """
    for kind, arguments in _classes(settings):
        if kind.__module__.startswith(("torch.", "torchvision.", "pytorch_lightning.")):
            continue
        for key, parameter in inspect.signature(kind).parameters.items():
            if parameter.annotation is not parameter.empty or key not in arguments:
                continue
            hint = _declared(kind, key) or ("Time" if _is_moment(arguments[key]) else "")
            if hint:
                raise UserError(
                    kind.__name__,
                    problem=(
                        f"argument {key} has no type hint, so that {arguments[key]!r} stays "
                        "plain text"
                    ),
                    fix=f"set `{key}: {hint}` in its __init__",
                )


def _classes(node: Any) -> Iterator[tuple[type, dict[str, Any]]]:
    """Yield type and arguments of each class that settings name."""
    if hasattr(node, "as_dict"):
        node = node.as_dict()
    if isinstance(node, Mapping):
        if isinstance(node.get("class_path"), str):
            kind = class_named(node["class_path"])
            arguments = node.get("init_args") or {}
            if inspect.isclass(kind):
                yield (
                    kind,
                    dict(arguments.as_dict() if hasattr(arguments, "as_dict") else arguments),
                )
        for value in node.values():
            yield from _classes(value)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _classes(item)


def class_named(path: str) -> Any:
    """Return what a class path names; None for what is not found, of which the parser speaks."""
    try:
        return class_of(path)
    except (ImportError, ValueError, AttributeError):
        return None


def class_of(path: str) -> Any:
    """Return the class of a path, which may be inside another class."""
    module, _, name = path.rpartition(".")
    try:
        holder = import_module(module)
    except ModuleNotFoundError as error:
        # A module that is there may itself lack another.
        if "." not in module or not f"{module}.".startswith(f"{error.name}."):
            raise
        holder = class_of(module)
    return getattr(holder, name)


def _declared(kind: type, key: str) -> str:
    """Return the type hint that a base class has for an argument; empty if none has one."""
    for base in kind.__mro__[1:]:
        hint = getattr(vars(base).get("__init__"), "__annotations__", {}).get(key)
        if hint is not None:
            return _as_text(hint)
    return ""


def _as_text(hint: Any) -> str:
    """Return a type hint as code writes it."""
    return inspect.formatannotation(hint).replace(f"{Time.__module__}.", "")


def _is_moment(value: Any) -> bool:
    """Whether a value is a moment, or several."""
    if isinstance(value, list | tuple):
        return any(map(_is_moment, value))
    return isinstance(value, str) and bool(_TIME.fullmatch(value))
