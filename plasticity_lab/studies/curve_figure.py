"""A study's figure over time."""

from pathlib import Path

import pandas as pd

from plasticity_lab.studies.colours import DASHES
from plasticity_lab.studies.figure import draw_band, seeds_words, styles_across, words
from plasticity_lab.studies.figure_style import add_legend, begin, save
from plasticity_lab.studies.settings import NO_CONTROL, Settings


def draw_curves(points: pd.DataFrame, chosen: Settings, value_label: str, folder: Path) -> None:
    """Draw a metric over time, a line for each value of `x`; the control's is dashed.

    Means and standard deviations over seeds. Writes `figure.png`, `figure.svg` and `figure.pdf`.

    Args:
        points: one row for each value: the run's variables, `step`, `value`, and `epoch`, where it
            is known.
        chosen: what stands where; where `hue` is given, lines differ by it in place of being
            dashed.
        value_label: what the values are, in words.
        folder: where to.
    """
    figure, axes = begin()
    time = "step" if points["epoch"].isna().any() else "epoch"
    names = [name for name in (chosen.x, chosen.hue) if name]
    colours = styles_across(list(points[chosen.x].unique()), chosen)
    hues = list(points[chosen.hue].unique()) if chosen.hue else []
    for values, group in points.groupby(names, sort=False):
        style = colours[values[0]]
        dash = DASHES[hues.index(values[1]) % len(DASHES)] if hues else style.dash
        at = group.groupby(time).value.agg(["mean", "std"]).fillna(0)
        label = ", ".join(map(str, values))
        axes.plot(at.index, at["mean"], color=style.colour, linestyle=(0, dash), label=label)
        draw_band(axes, at, style)

    axes.set_xlabel(chosen.label or ("epoch" if time == "epoch" else "optimizer step"))
    axes.set_ylabel(value_label)
    is_dashed = not chosen.hue and chosen.control is not NO_CONTROL
    parts = [", ".join(map(words, names)), seeds_words(points, names)]
    parts += ["dashed: control"] if is_dashed else []
    add_legend(figure, axes, "; ".join(parts))
    save(figure, folder)
