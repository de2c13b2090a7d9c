"""Draw diagnostics with estimated and with running statistics of batch norm, on digits.

They are drawn from the first step on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import pandas as pd

from plasticity_lab.runs.event_files import read_scalars

HERE = Path(__file__).parents[1]
NAMES = {
    "fisher/trace": "trace of the Fisher information",
    "hessian/eigenvalue/1": "largest Hessian eigenvalue",
    "kernel/eigenvalue": "largest tangent-kernel eigenvalue",
    "effective_rank": "effective rank of the last features",
    "cka": "linear CKA with the initial network",
}
GROUPS = {"diagnostics": "estimated on the probe", "diagnostics_running": "running"}


def train(seed: int, epochs: int, folder: Path) -> pd.DataFrame:
    """Train digits with everything measured twice; return a row for each value."""
    command = [
        sys.executable,
        str(HERE / "train.py"),
        "fit",
        "--config",
        str(HERE / "configs/digits.yaml"),
    ]
    command += [
        "--config",
        str(HERE / "configs/diagnostics/norm_statistics.yaml"),
        "--run_dir",
        str(folder / str(seed)),
    ]
    subprocess.run(
        [*command, "--seed_everything", str(seed), "--trainer.max_epochs", str(epochs)], check=True
    )
    logged = read_scalars(folder / str(seed))
    return pd.DataFrame(
        {"seed": seed, "name": name, "statistics": statistics, "step": step, "value": value}
        for group, statistics in GROUPS.items()
        for name in NAMES
        for step, value in logged[f"{group}/{name}"]
    )


def draw(points: pd.DataFrame, file: Path) -> None:
    """Draw a panel for each quantity over optimizer steps.

    Both axes are logarithmic where values span decades.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"axes.spines.right": False, "axes.spines.top": False})
    figure, grid = plt.subplots(2, 3, figsize=(9, 5.6), layout="constrained")
    *panels, free = grid.flat
    for axes, (name, title) in zip(panels, NAMES.items(), strict=True):
        # A value after n steps is logged at step n - 1, that before the first batch at step 0.
        chosen = points[points.name == name].assign(step=lambda rows: rows.step + 1)
        for statistics, group in chosen.groupby("statistics", sort=False):
            # Mean of the seeds, and the band from the smallest to the largest.
            at = group.groupby("step").value.agg(["mean", "min", "max"])
            axes.plot(at.index, at["mean"], marker="o", markersize=4, label=statistics)
            axes.fill_between(at.index, at["min"], at["max"], alpha=0.2, linewidth=0)
        axes.set(
            xscale="log", yscale="linear" if name in ("effective_rank", "cka") else "log", ylabel=""
        )
        axes.set_xlabel("optimizer steps (1: none yet)")
        axes.set_title(title)
    handles, labels = panels[-1].get_legend_handles_labels()
    free.legend(handles, labels, title="statistics of batch norm", frameon=False, loc="center")
    free.axis("off")
    figure.savefig(file, dpi=130)
    plt.close(figure)


def main() -> None:
    """Train, write the numbers beside this file and the picture where asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--picture", type=Path, default=HERE / "docs/norm_statistics.png")
    parser.add_argument("--redraw", action="store_true", help="draw the stored numbers again")
    given = parser.parse_args()
    numbers = HERE / "benchmarks/norm_statistics.json"
    if given.redraw:
        stored = pd.DataFrame(json.loads(numbers.read_text()))
        draw(stored.explode(["step", "value"]).infer_objects(), given.picture)
        return
    with tempfile.TemporaryDirectory() as folder:
        points = pd.concat(train(seed, given.epochs, Path(folder)) for seed in range(given.seeds))
    curves = [
        {
            **dict(zip(["name", "statistics", "seed"], key, strict=True)),
            "step": [*rows.step],
            "value": [*rows.value],
        }
        for key, rows in points.groupby(["name", "statistics", "seed"])
    ]
    numbers.write_text("\n".join(["[", ",\n".join(map(json.dumps, curves)), "]\n"]))
    draw(points, given.picture)


if __name__ == "__main__":
    main()
