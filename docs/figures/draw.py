"""Draw the pictures of the concept pages: `python docs/figures/draw.py`."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
BLUE, RED, GREY = "tab:blue", "tab:red", "0.6"


def new_figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure for a narrow page, with one pair of axes and no frame."""
    figure = Figure(figsize=(6, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_times() -> None:
    """Draw when each of the four words acts."""
    figure, axes = new_figure(2.6)
    words = ["during: [5ep, 15ep]", "levels: {0ep: 1, 10ep: 0}", "every: 5ep", "at: [10ep, 20ep]"]
    axes.broken_barh([(5, 10)], (-0.2, 0.4), color=BLUE)
    axes.step([0, 10, 30], [1.2, 0.8, 0.8], where="post", color=BLUE)
    axes.plot([5, 10, 15, 20, 25], [2] * 5, "o", color=BLUE)
    axes.plot([0, 30], [2] * 2, "o", color=BLUE, fillstyle="none")  # diagnostics only
    axes.plot([10, 20], [3, 3], "o", color=BLUE)
    axes.set_yticks(range(4), words)
    axes.set_xlabel("epoch")
    axes.set_xlim(-0.5, 30.5)
    figure.savefig(HERE / "time.png", dpi=130)


def draw_growth() -> None:
    """Draw how many training examples there are over time."""
    figure, axes = new_figure(2.6)
    axes.step([0, 15, 30], [0.5, 1, 1], where="post", color=BLUE, label="fractions: [0.5, 1.0]")
    axes.step(
        [0, 6, 12, 18, 24, 30],
        [0.2, 0.4, 0.6, 0.8, 1, 1],
        where="post",
        color=RED,
        label="five stages",
    )
    axes.axhline(1, color=GREY, linewidth=0.8, label="no growth")
    axes.set(xlabel="epoch", ylabel="share of the training split", ylim=(0, 1.08), xlim=(0, 30))
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(HERE / "growth.png", dpi=130)


def draw_shared_epochs() -> None:
    """Draw the segments of four runs that are blurred for 0 to 3 epochs."""
    figure, axes = new_figure(2.6)
    for blurred in range(4):
        height = 3 - blurred
        if blurred:
            axes.plot([blurred - 1, blurred], [3.6, 3.6], color=RED, linewidth=5)
            axes.plot([blurred, blurred], [3.6, height], color=GREY, linewidth=0.8)
        axes.plot([blurred, blurred + 4], [height, height], color=BLUE, linewidth=5)
        axes.text(blurred + 4.15, height, f"blur for {blurred} epochs", va="center")
    axes.text(3.15, 3.6, "blurred, trained once", va="center", color=RED)
    axes.set(xlabel="epoch", yticks=[], xlim=(-0.2, 9.5), ylim=(-0.4, 4))
    axes.spines["left"].set_visible(False)
    figure.savefig(HERE / "shared_epochs.png", dpi=130)


if __name__ == "__main__":
    draw_times()
    draw_growth()
    draw_shared_epochs()
