"""The identity of what acts over time: its class and its constructor's arguments."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Self

from plasticity_lab.errors import UserError
from plasticity_lab.timing import Levels, Time, Window

TIMES = ("at", "during", "until", "levels", "every")
"""Arguments that say when something happens; not part of the identity if they are moments."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")


class Named:
    """Has a `repr` of its class and its arguments without times: `Blur(size=4)`.

    It is taken from the constructor call itself, so that no argument can be missing from it,
    whatever the constructor makes of the argument. Arguments that are None are left out.

    Raises:
        UserError: for an argument whose text is another in each process.

    Attributes:
        told_by_answers: arguments that do not tell two objects apart as long as they answer alike,
            such as the sizes of stages that have not begun.
        identity: by which checkpoints and studies tell objects from others: the `repr` without
            those arguments.
        call: class and arguments, times included.
        times_given: the arguments that say when something happens, by name.
        answered_given: the arguments that are told by answers, by name.
    """

    told_by_answers: ClassVar[tuple[str, ...]] = ()
    identity: str
    call: str
    times_given: dict[str, str]
    answered_given: dict[str, str]
    _repr: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the constructor call."""
        one = super().__new__(cls)
        try:
            call = inspect.signature(cls.__init__).bind(one, *args, **kwargs)
        except TypeError:
            # A call that the constructor itself is about to refuse, or a copy, which gets the
            # identity of the original with its other attributes.
            return one
        call.apply_defaults()
        given = dict(_arguments(call))
        times = {key: value for key, value in given.items() if key in TIMES and _says_when(value)}
        texts = {key: _text(cls, key, value) for key, value in given.items() if key not in times}
        one.times_given = {key: _text(cls, key, _written(value)) for key, value in times.items()}
        told = cls.told_by_answers
        one.answered_given = {key: text for key, text in texts.items() if key in told}
        one._repr = _call(cls, texts)
        one.identity = _call(cls, {key: text for key, text in texts.items() if key not in told})
        one.call = _call(cls, {**texts, **one.times_given})
        return one

    def __repr__(self) -> str:
        """Return class and arguments without times."""
        return self._repr


def _call(kind: type, texts: Mapping[str, str]) -> str:
    given = ", ".join(f"{key}={text}" for key, text in texts.items())
    return f"{kind.__name__}({given})" if given else kind.__name__


def _arguments(call: inspect.BoundArguments) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a call by name, but for the first, which is `self`."""
    for name, value in list(call.arguments.items())[1:]:
        several = call.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        for key, part in value.items() if several else [(name, value)]:
            if part is not None and part != ():
                yield key, part


def _written(value: Any) -> Any:
    """Return a time, or several, as YAML writes them."""
    if isinstance(value, Mapping):
        entries = ", ".join(f"{key}: {_written(part)}" for key, part in value.items())
        return f"{{{entries}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(_written(part)) for part in value)}]"
    if is_dataclass(value) and getattr(value, "says_when", False):
        parts = ((part.name, getattr(value, part.name)) for part in fields(value))
        return _written({key: part for key, part in parts if part is not None})
    return "null" if value is None else value


def _says_when(value: Any) -> bool:
    """Whether a value is made of moments: your own `levels` may be a number of grey levels."""
    if isinstance(value, Mapping):
        return all(map(_says_when, value))
    if isinstance(value, list | tuple):
        return all(map(_says_when, value))
    if isinstance(value, str):
        try:
            Time(value)
        except UserError:
            return False
        return True
    return isinstance(value, Time | Window | Levels) or getattr(value, "says_when", False)


def _text(kind: type, name: str, value: Any) -> str:
    text = str(value)
    if _ADDRESS.search(text):
        raise UserError(
            kind.__name__,
            value=name,
            problem=f"a {type(value).__name__} has no text that tells it from others",
            fix="give its class a __repr__ of its arguments (a dataclass has one)",
        )
    return text
