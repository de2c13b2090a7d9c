"""A study's figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

from plasticity_lab.studies.settings import NO_CONTROL, Settings, shown

_DASHED = (4, 2)
_LONG = 40
"""Letters of all names on the axis, beyond which they are turned."""


def draw(runs: pd.DataFrame, chosen: Settings, value_label: str, folder: Path) -> None:
    """Draw means and standard deviations over seeds, the control, and the paper's numbers.

    Writes `figure.png` and `figure.svg`.

    Args:
        runs: one row for each run: its variables and `value`.
        chosen: what stands where.
        value_label: what the values are, in words.
        folder: where to.
    """
    figure, axes = _begin(legend_beside=bool(chosen.hue))
    import seaborn as sns

    names = [*runs[chosen.hue].unique()] if chosen.hue else []
    colours = dict(zip(names, sns.color_palette("deep", len(names)), strict=True))
    bars = seeds_words(runs, [name for name in (chosen.x, chosen.hue) if name])
    plot_options = {
        "data": runs,
        "x": chosen.x,
        "y": "value",
        "hue": chosen.hue,
        "ax": axes,
        "palette": colours or None,
    }
    mean = {} if chosen.hue else {"label": bars}
    if chosen.figure == "line":
        style = (
            {"err_style": "band"}
            if chosen.hue
            else {"err_style": "bars", "err_kws": {"capsize": 3}}
        )  # bars of several overlap
        sns.lineplot(**plot_options, **mean, errorbar="sd", marker="o", **style)
    else:
        dodge = 0.4 if chosen.hue else False
        sns.stripplot(
            **plot_options, dodge=bool(chosen.hue), alpha=0.35, size=4, jitter=False, legend=False
        )
        sns.pointplot(
            **plot_options,
            **mean,
            errorbar="sd",
            dodge=dodge,
            linestyle="none",
            marker="_",
            markersize=14,
            capsize=0.1,
        )
    _draw_controls(axes, runs, chosen, colours)
    ticks = list(runs[chosen.x].unique())
    papers = {shown(key): value for key, value in (chosen.paper or {}).items()}
    if numbers := {
        key: value
        for key, value in papers.items()
        if isinstance(value, int | float) and key in ticks
    }:
        places = list(numbers) if chosen.figure == "line" else [ticks.index(key) for key in numbers]
        axes.plot(places, list(numbers.values()), "x", color="black", label="paper")
    if chosen.figure != "line" and sum(len(str(name)) for name in ticks) > _LONG:
        axes.tick_params(axis="x", rotation=25)
        matplotlib.artist.setp(axes.get_xticklabels(), ha="right", rotation_mode="anchor")
    _add_legend(axes, f"{_words(chosen.hue)}\n{bars}" if chosen.hue else None)
    _finish(figure, axes, chosen.label or _words(chosen.x), value_label, folder)


def draw_curves(points: pd.DataFrame, chosen: Settings, value_label: str, folder: Path) -> None:
    """Draw a metric over time, a line for each value of `x`; the control's is dashed.

    Means and standard deviations over seeds.

    Args:
        points: one row for each value: the run's variables, `step`, `value`, and `epoch`, where it
            is known.
        chosen: what stands where; where `hue` is given, lines differ by it in place of being
            dashed.
        value_label: what the values are, in words.
        folder: where to.
    """
    figure, axes = _begin(legend_beside=True)
    import seaborn as sns

    time = "step" if points["epoch"].isna().any() else "epoch"
    named = points.assign(
        **{name: points[name].astype(str) for name in (chosen.x, chosen.hue) if name}
    )
    lines = [*named[chosen.x].unique()]
    control = str(shown(chosen.control)) if chosen.control is not NO_CONTROL else None
    style = chosen.hue or (chosen.x if control else None)
    dashes: Any = (
        {name: _DASHED if name == control else "" for name in lines} if style == chosen.x else True
    )
    plot_options = {
        "data": named,
        "x": time,
        "y": "value",
        "hue": chosen.x,
        "style": style,
        "dashes": dashes,
        "ax": axes,
    }
    sns.lineplot(
        **plot_options,
        palette=dict(zip(lines, sns.color_palette("deep", len(lines)), strict=True)),
        errorbar="sd",
    )
    bars = seeds_words(points, [name for name in (chosen.x, chosen.hue) if name])
    _add_legend(
        axes,
        "\n".join(
            filter(None, [_words(chosen.x), bars, "dashed: control" if style == chosen.x else ""])
        ),
    )
    _finish(
        figure,
        axes,
        chosen.label or ("epoch" if time == "epoch" else "optimizer step"),
        value_label,
        folder,
    )


def seeds_words(runs: pd.DataFrame, names: Sequence[str]) -> str:
    """Say what is drawn of so many seeds."""
    counts = sorted({group.seed.nunique() for _, group in runs.groupby([*names], sort=False)})
    if counts == [1]:
        return "one seed"
    extremes = counts if len(counts) == 1 else [counts[0], counts[-1]]
    return f"mean ± s.d. of {' to '.join(map(str, extremes))} seeds"


def _draw_controls(
    axes: Any, runs: pd.DataFrame, chosen: Settings, colours: dict[Any, Any]
) -> None:
    """Draw a dashed line at the mean of the control, of each `hue` in its colour."""
    if chosen.control is NO_CONTROL:
        return
    style = {"linestyle": "--", "linewidth": 1}
    control = runs[runs[chosen.x] == shown(chosen.control)]
    groups: Any = [(None, control)]
    if chosen.hue:
        groups = control.groupby(chosen.hue, sort=False)
    for hue, group in groups:
        axes.axhline(
            group.value.mean(), color=colours.get(hue, "0.4"), alpha=0.7, zorder=0, **style
        )
    name = shown(chosen.control)
    if chosen.x != "arm":
        name = f"{_words(chosen.x)} {name}"
    axes.plot([], [], color="0.4", label=f"control ({name})", **style)


def _begin(legend_beside: bool) -> Any:
    """Return a new figure and its axes; a legend beside them takes some of its width."""
    matplotlib.use("Agg")
    import seaborn as sns
    from matplotlib import pyplot as plt

    sns.set_theme(style="ticks", context="paper", font_scale=1.2)
    return plt.subplots(figsize=(6.4 if legend_beside else 5.2, 3.4), layout="constrained")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _add_legend(axes: Any, title: str | None) -> None:
    """Name what is drawn: beside the axes if there is a title, otherwise above them.

    Nothing is drawn there.
    """
    handles, names = axes.get_legend_handles_labels()
    handle_by_name = dict(zip(names, handles, strict=True))
    if title:
        axes.legend(
            handle_by_name.values(),
            handle_by_name.keys(),
            title=title,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            frameon=False,
            alignment="left",
        )
    else:
        axes.legend(
            handle_by_name.values(),
            handle_by_name.keys(),
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=len(handle_by_name),
            frameon=False,
            fontsize="small",
        )


def _finish(figure: Any, axes: Any, across: str, up: str, folder: Path) -> None:
    import seaborn as sns
    from matplotlib import pyplot as plt

    axes.set_xlabel(across)
    axes.set_ylabel(up, fontsize="small" if "\n" in up else None)
    sns.despine()
    for kind in ("png", "svg"):
        figure.savefig(folder / f"figure.{kind}", dpi=160)
    plt.close(figure)
