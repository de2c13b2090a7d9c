"""A study's figure."""

from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

from studies.measure import scale
from studies.settings import Settings


def draw(runs: pd.DataFrame, chosen: Settings, folder: Path) -> None:
    """Draw means with standard deviations over seeds, and the paper's numbers if there are any; `figure.png` and `figure.svg`.

    Args:
        runs: one row for each run: its variables and `value`.
        chosen: what stands where.
        folder: where to.
    """
    figure, axes = _begin()
    import seaborn as sns

    where = {"data": runs, "x": chosen.x, "y": "value", "hue": chosen.hue, "ax": axes, "palette": "deep" if chosen.hue else None}
    if chosen.figure == "line":
        bars = {"err_style": "band"} if chosen.hue else {"err_style": "bars", "err_kws": {"capsize": 3}}  # bars of several overlap
        sns.lineplot(**where, errorbar="sd", marker="o", **bars)
    else:
        apart = 0.4 if chosen.hue else False
        sns.stripplot(**where, dodge=bool(chosen.hue), alpha=0.35, size=4, legend=False)
        sns.pointplot(**where, errorbar="sd", dodge=apart, linestyle="none", marker="_", markersize=14, capsize=0.1)
    there = list(runs[chosen.x].unique())
    papers = chosen.paper or {}
    if numbers := {key: value for key, value in papers.items() if isinstance(value, int | float) and key in there}:
        places = list(numbers) if chosen.figure == "line" else [there.index(key) for key in numbers]
        axes.plot(places, list(numbers.values()), "x", color="black", label="paper")
        axes.legend(frameon=False)
    if chosen.hue:
        sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5), frameon=False, title=None)
    _finish(figure, axes, chosen.label or chosen.x, f"{_unit(chosen)}, {chosen.over}", folder)


def draw_curves(points: pd.DataFrame, chosen: Settings, folder: Path) -> None:
    """Draw a metric over time: means and standard deviations over seeds, a line for each value of `x`; as `draw`.

    Args:
        points: one row for each value: the run's variables, `step`, `value`.
        chosen: what stands where.
        folder: where to.
    """
    figure, axes = _begin()
    import seaborn as sns

    sns.lineplot(data=points, x="step", y="value", hue=chosen.x, style=chosen.hue, palette="deep", errorbar="sd", ax=axes)
    sns.move_legend(axes, "center left", bbox_to_anchor=(1, 0.5), frameon=False, title=None if chosen.hue else chosen.x)
    _finish(figure, axes, chosen.label or "optimizer step", _unit(chosen), folder)


def _begin() -> Any:
    matplotlib.use("Agg")
    import seaborn as sns
    from matplotlib import pyplot as plt

    sns.set_theme(style="ticks", context="paper", font_scale=1.2)
    return plt.subplots(figsize=(5.2, 3.4), layout="constrained")


def _unit(chosen: Settings) -> str:
    return f"{chosen.metric.removeprefix('diagnostics/')}{' (%)' if scale(chosen.metric) == 100 else ''}"


def _finish(figure: Any, axes: Any, across: str, up: str, folder: Path) -> None:
    import seaborn as sns
    from matplotlib import pyplot as plt

    axes.set_xlabel(across)
    axes.set_ylabel(up)
    sns.despine()
    for kind in ("png", "svg"):
        figure.savefig(folder / f"figure.{kind}", dpi=160)
    plt.close(figure)
