"""Colours, dashes and markers of a study's arms: the same in its figure and on its page."""

import hashlib
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.colors import to_hex

CONTROL = "#000000"

PALETTE = {
    "#0072B2": "o",
    "#D55E00": "s",
    "#009E73": "^",
    "#CC79A7": "D",
    "#E69F00": "v",
    "#56B4E9": "P",
}
"""Colours of Okabe and Ito (2008), told apart with all kinds of colour blindness, with a marker of
their own. Their yellow is left out, as it is hard to see on white."""

DASHES = ((), (4, 2), (1, 1.5), (6, 2, 1, 2))
"""Of the first arms that share a colour, the second ones, …: lengths of lines and gaps in points;
none is a line without gaps."""

_CONTROL_DASH = (5, 1.5)
_SCALE = (0.05, 0.8)
"""The part of the scale of numbers, without its darkest and its lightest colours."""


class Style(NamedTuple):
    """How an arm is drawn.

    Attributes:
        colour: as `#rrggbb`.
        dash: lengths of lines and gaps in points; none is a line without gaps.
        marker: a marker's name in matplotlib.
    """

    colour: str
    dash: tuple[float, ...]
    marker: str


ALONE = Style("#0072B2", (), "o")
"""How a series is drawn that is the only one."""


def styles(names: Sequence[Any], control: Any = None) -> list[Style]:
    """Return how each of several arms is drawn.

    * The control is black and dashed in every study.
    * Numbers go from dark to light in their order, by the colour scale viridis.
    * A name has its own order of preference of the palette's colours, which depends on nothing but
      the name. It gets the first that no arm before it has, so that an arm keeps its colour from
      study to study unless another of the same study has it already.

    Where there are more names than colours, a colour comes again with other dashes.

    Args:
        names: values of the variable that tells the arms apart, each once.
        control: the one that is the control; None if none is.
    """
    others = [name for name in names if name != control]
    are_numbers = all(isinstance(name, Real) for name in others)
    given = _scale(others) if are_numbers and len(others) > 1 else _palette(others)
    return [
        Style(CONTROL, _CONTROL_DASH, "X") if name == control else given[name] for name in names
    ]


def _scale(numbers: Sequence[Any]) -> dict[Any, Style]:
    """Return the styles of numbers, from dark to light in their order."""
    first, last = _SCALE
    scale = colormaps["viridis"]
    markers = list(PALETTE.values())
    given = {}
    for place, number in enumerate(sorted(numbers)):
        share = place / max(1, len(numbers) - 1)
        colour = to_hex(scale(first + (last - first) * share))
        given[number] = Style(colour, (), markers[place % len(markers)])
    return given


def _palette(names: Sequence[Any]) -> dict[Any, Style]:
    """Return the styles of names, each by its own preference as far as colours are free."""
    given: dict[Any, Style] = {}
    for place, name in enumerate(names):
        # Each round uses every colour once.
        dash = DASHES[place // len(PALETTE) % len(DASHES)]
        taken = {style.colour for style in list(given.values())[place - place % len(PALETTE) :]}
        free = [colour for colour in PALETTE if colour not in taken]
        colour = min(free, key=lambda colour: _rank(name, colour))
        given[name] = Style(colour, dash, PALETTE[colour])
    return given


def _rank(name: Any, colour: str) -> str:
    """Return what orders the colours by a name's preference."""
    return hashlib.sha256(f"{name} {colour}".encode()).hexdigest()
