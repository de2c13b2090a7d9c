"""Arguments of a class that another class builds, as `options` of a config give them."""

from collections.abc import Collection, Mapping
from inspect import Parameter, formatannotation, signature
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from plasticity_lab.errors import UserError


def read_options(
    kind: type, options: Mapping[str, Any] | None, taken: Collection[str] = ()
) -> dict[str, Any]:
    """Return arguments of a class, read by its type hints as the command line reads them.

    Names that it does not have, and arguments without a type hint, are returned as they are.

    Args:
        kind: the class.
        options: the arguments, as YAML has them; None is none.
        taken: names of arguments that whoever builds the class sets.

    Raises:
        UserError: for an option that is taken, or a value of another type.

    Examples:
        >>> class Scale:
        ...     def __init__(self, factor: float, sizes: list[int]) -> None: ...
        >>> read_options(Scale, {"factor": 2, "sizes": ["3"]})
        {'factor': 2.0, 'sizes': [3]}
    """
    read = {}
    parameters = signature(kind).parameters
    for name, value in (options or {}).items():
        if name in taken:
            raise UserError(
                f"{kind.__name__}: options: {name}",
                value=value,
                problem="is set outside of options",
                fix="remove it from them",
            )
        read[name] = _read(kind, parameters[name], value) if name in parameters else value
    return read


def _read(kind: type, parameter: Parameter, value: Any) -> Any:
    hint = parameter.annotation
    if hint is parameter.empty or isinstance(hint, str):
        return value
    parser = ArgumentParser(exit_on_error=False)
    # In a list, as the parser takes null for any type where it is the whole value.
    parser.add_argument("--value", type=list[hint])  # type: ignore[valid-type]
    try:
        parsed = parser.parse_object({"value": [value]})
    except ArgumentError as error:
        raise UserError(
            f"{kind.__name__}: {parameter.name}",
            value="null" if value is None else value,
            problem=f"is no {formatannotation(hint)}",
            fix="set one",
        ) from error
    return parser.instantiate_classes(parsed).value[0]
