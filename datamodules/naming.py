"""The identity of what acts over time: its class and its constructor's arguments."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from plasticity_lab.errors import UserError
from plasticity_lab.timing import Levels, Time, Window

TIMES = ("at", "during", "until", "levels", "every")
"""Arguments that say when something happens; not part of the identity if they are moments."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")


class Named:
    """Has a `repr` of its class and its arguments without times: `Blur(size=4)`.

    This text is the identity of an object, by which checkpoints and studies tell it from others. It
    is taken from the constructor call itself, so that no argument can be missing from it, whatever
    the constructor makes of the argument. Arguments that are None are left out.

    Raises:
        UserError: for an argument whose text is another in each process.
    """

    _identity: str

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
        given = ", ".join(f"{name}={_text(cls, name, value)}" for name, value in _arguments(call))
        one._identity = f"{cls.__name__}({given})" if given else cls.__name__
        return one

    def __repr__(self) -> str:
        """Return the identity."""
        return self._identity


def _arguments(call: inspect.BoundArguments) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a call that are part of an identity, by name; the first is `self`."""
    for name, value in list(call.arguments.items())[1:]:
        several = call.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        for key, part in value.items() if several else [(name, value)]:
            if part is not None and part != () and not (key in TIMES and _says_when(part)):
                yield key, part


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
