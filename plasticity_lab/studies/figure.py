"""A study's figure."""

from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity_lab.studies.colours import ALONE, Style, styles
from plasticity_lab.studies.figure_style import add_legend, begin, save, turn_names
from plasticity_lab.studies.settings import NO_CONTROL, Settings, shown

_LONG = 32
"""Letters of all names on the axis, beyond which they are turned."""

_DODGE = 0.18
_WIDEST = 0.8
"""Between means of the same `x`, and from the first of many to the last."""


def draw(runs: pd.DataFrame, chosen: Settings, value_label: str, folder: Path) -> None:
    """Draw means and standard deviations over seeds, the control, and the paper's numbers.

    Writes `figure.png`, `figure.svg` and `figure.pdf`.

    Args:
        runs: one row for each run: its variables and `value`.
        chosen: what stands where.
        value_label: what the values are, in words.
        folder: where to.
    """
    figure, axes = begin()
    ticks = list(runs[chosen.x].unique())
    is_line = chosen.figure == "line"
    is_number = is_line and all(isinstance(tick, Real) for tick in ticks)
    places = {tick: tick if is_number else place for place, tick in enumerate(ticks)}

    # One line or row of means, or one for each `hue`.
    bars = seeds_words(runs, [name for name in (chosen.x, chosen.hue) if name])
    series = list(_series(runs, chosen))
    for count, (label, group, style) in enumerate(series):
        if is_line:
            _draw_line(axes, group, chosen.x, places, style, label or bars, len(series) > 1)
        else:
            shift = (count - (len(series) - 1) / 2) * min(_DODGE, _WIDEST / len(series))
            own = styles_across(ticks, chosen) if not chosen.hue else {}
            _draw_means(axes, group, chosen.x, places, style, label or bars, shift, own)
    _draw_controls(axes, series, chosen)

    # The paper's numbers, where they are numbers.
    papers = {shown(key): value for key, value in (chosen.paper or {}).items()}
    numbers = {
        places[key]: value
        for key, value in papers.items()
        if isinstance(value, Real) and key in places
    }
    if numbers:
        axes.plot(list(numbers), list(numbers.values()), "x", color="black", label="paper")

    if not is_number:
        axes.set_xticks(list(places.values()), list(map(str, places)))
        axes.margins(x=0.12)
        if sum(len(str(name)) for name in ticks) > _LONG:
            turn_names(figure, axes)
    axes.set_xlabel(chosen.label or words(chosen.x))
    axes.set_ylabel(value_label)
    add_legend(figure, axes, f"{words(chosen.hue)}; {bars}" if chosen.hue else None)
    save(figure, folder)


def seeds_words(runs: pd.DataFrame, names: Sequence[str]) -> str:
    """Say what is drawn of so many seeds."""
    counts = sorted({group.seed.nunique() for _, group in runs.groupby([*names], sort=False)})
    if counts == [1]:
        return "one seed"
    extremes = counts if len(counts) == 1 else [counts[0], counts[-1]]
    return f"mean ± s.d. of {' to '.join(map(str, extremes))} seeds"


def words(name: str | None) -> str:
    """Return the name of a variable as figures show it."""
    return str(name).replace("_", " ")


def _series(runs: pd.DataFrame, chosen: Settings) -> Iterator[tuple[str, pd.DataFrame, Style]]:
    """Yield what is drawn in one colour: a name, its runs and its style."""
    if not chosen.hue:
        yield "", runs, ALONE
        return
    names = list(runs[chosen.hue].unique())
    for name, style in zip(names, styles(names), strict=True):
        yield str(name), runs[runs[chosen.hue] == name], style


def styles_across(names: Sequence[Any], chosen: Settings) -> dict[Any, Style]:
    """Return the styles of values of `x`."""
    control = None if chosen.control is NO_CONTROL else shown(chosen.control)
    return dict(zip(names, styles(names, control), strict=True))


def _draw_line(
    axes: Any,
    group: pd.DataFrame,
    across: str,
    places: dict[Any, Any],
    style: Style,
    label: str,
    is_one_of_several: bool,
) -> None:
    """Draw means as a line, with a band, or with bars if there is no other line to hide."""
    at = group.groupby(group[across].map(places)).value.agg(["mean", "std"]).fillna(0)
    look = {"color": style.colour, "marker": style.marker, "linestyle": (0, style.dash)}
    if is_one_of_several:
        axes.plot(at.index, at["mean"], label=label, **look)
        draw_band(axes, at, style)
    else:
        axes.errorbar(at.index, at["mean"], at["std"], capsize=2, label=label, **look)


def _draw_means(
    axes: Any,
    group: pd.DataFrame,
    across: str,
    places: dict[Any, Any],
    style: Style,
    label: str,
    shift: float,
    own: dict[Any, Style],
) -> None:
    """Draw single seeds as dots, and means with bars; each in a style of its own if it has one."""
    for name, runs in group.groupby(across, sort=False):
        place, colour = places[name] + shift, own.get(name, style).colour
        axes.plot(
            [place] * len(runs), runs.value, "o", color=colour, alpha=0.35, markersize=2.5, mew=0
        )
        axes.errorbar(
            place + 0.06,
            runs.value.mean(),
            0 if len(runs) < 2 else runs.value.std(),
            color=colour,
            marker=own.get(name, style).marker,
            capsize=2,
            linestyle="none",
        )
    key = "0.35" if own else style.colour
    axes.errorbar([], [], [], color=key, marker=style.marker, linestyle="none", label=label)


def draw_band(axes: Any, at: pd.DataFrame, style: Style) -> None:
    """Draw one standard deviation, `std`, around a `mean`."""
    low, high = at["mean"] - at["std"], at["mean"] + at["std"]
    axes.fill_between(at.index, low, high, color=style.colour, alpha=0.18, linewidth=0)


def _draw_controls(
    axes: Any, series: Sequence[tuple[str, pd.DataFrame, Style]], chosen: Settings
) -> None:
    """Draw a dashed line at the mean of the control, of each `hue` in its colour."""
    if chosen.control is NO_CONTROL:
        return
    look = {"linestyle": "--", "linewidth": 0.8}
    name = shown(chosen.control)
    for _, group, style in series:
        runs = group[group[chosen.x] == name]
        if len(runs):
            colour = style.colour if chosen.hue else "0.4"
            axes.axhline(runs.value.mean(), color=colour, alpha=0.7, zorder=0, **look)
    if chosen.x != "arm":
        name = f"{words(chosen.x)} {name}"
    axes.plot([], [], color="0.4", label=f"control ({name})", **look)
