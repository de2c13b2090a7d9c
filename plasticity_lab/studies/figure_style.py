"""The look of figures: text that stays text, the same bits each time, for a column or a page."""

from pathlib import Path
from typing import Any

import matplotlib

WIDTH = 89 / 25.4
"""Inches: one column."""

_PAGE_WIDTH = 183 / 25.4
"""Two columns, for names that would touch in one."""

_AXES_HEIGHT = 2.3
_LINE_HEIGHT = 0.16
_MOST_SLANTED = 8
"""Names that a slant keeps apart; more of them stand upright."""

_MOST_IN_A_COLUMN = 20
"""Upright names that one column keeps apart."""

_LETTER_HEIGHT = 0.07
"""Inches that a letter of an upright name takes."""

_TURNED_HEIGHT = 0.5
"""Room for names on the axis that are turned."""

_LETTERS = 62
"""Letters that a line of the legend has room for in one column."""

_STYLE: dict[Any, Any] = {
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.title_fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    # Letters stay letters, which can be searched and edited.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # Names inside the file are the same each time.
    "svg.hashsalt": "plasticity-lab",
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
}


def begin() -> Any:
    """Return a new figure and its axes."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcdefaults()
    plt.rcParams.update(_STYLE)
    return plt.subplots(figsize=(WIDTH, _AXES_HEIGHT), layout="constrained")


def turn_names(figure: Any, axes: Any) -> None:
    """Turn the names on the horizontal axis, which are too long to stand side by side."""
    names = axes.get_xticklabels()
    width, height = WIDTH, _TURNED_HEIGHT
    if len(names) > _MOST_SLANTED:
        axes.tick_params(axis="x", rotation=90)
        width = WIDTH if len(names) <= _MOST_IN_A_COLUMN else _PAGE_WIDTH
        # As much room beside the first and the last as between two.
        axes.margins(x=1 / len(names))
        height = _LETTER_HEIGHT * max(len(name.get_text()) for name in names)
    else:
        axes.tick_params(axis="x", rotation=25)
        matplotlib.artist.setp(names, ha="right", rotation_mode="anchor")
    figure.set_size_inches(width, _AXES_HEIGHT + height)


def add_legend(figure: Any, axes: Any, title: str | None = None) -> None:
    """Name what is drawn, below the axes, in as many columns as have room."""
    handles, names = axes.get_legend_handles_labels()
    handle_by_name = dict(zip(names, handles, strict=True))
    if not handle_by_name:
        return
    width, height = figure.get_size_inches()
    longest = max(map(len, handle_by_name)) + 6
    columns = max(1, min(len(handle_by_name), round(_LETTERS * width / WIDTH) // longest))
    lines = -(-len(handle_by_name) // columns) + (title.count("\n") + 1 if title else 0)
    figure.set_size_inches(width, height + _LINE_HEIGHT * lines)
    figure.legend(
        handle_by_name.values(),
        handle_by_name.keys(),
        title=title,
        loc="outside lower center",
        ncols=columns,
    )


def save(figure: Any, folder: Path) -> None:
    """Write `figure.png`, `figure.svg` and `figure.pdf`, the same bytes for the same content."""
    from matplotlib import pyplot as plt

    # Without the time of writing.
    dates: dict[str, dict[str, None]] = {
        "png": {},
        "svg": {"Date": None},
        "pdf": {"CreationDate": None},
    }
    for kind, metadata in dates.items():
        figure.savefig(folder / f"figure.{kind}", dpi=300, metadata=metadata)
    plt.close(figure)
