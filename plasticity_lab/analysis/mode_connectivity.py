"""Loss and error on the line between two trained networks (linear mode connectivity).

Run by `python -m plasticity_lab.analysis.mode_connectivity A.ckpt B.ckpt`.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.diagnostics.probe import training_probe
from plasticity_lab.analysis.interpolation import Point, barriers, line
from plasticity_lab.checkpoint_files import check_network, read_checkpoint
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.command_line import errors_in_one_line, silence_known_warnings
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run import Run
from plasticity_lab.runs.run_directory import CONFIG, RunLocation
from plasticity_lab.surgery.norm_statistics import batch_norm_layers

EXAMPLES = 10_000
"""Training examples from which normalisation statistics are estimated again."""


def draw(curves: Mapping[str, Sequence[Point]], file: Path) -> None:
    """Draw loss and error on the line."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "error"), strict=True):
        for kind, curve in curves.items():
            axes.plot(
                [point.alpha for point in curve],
                [getattr(point, name) for point in curve],
                marker=".",
                label=f"statistics {kind}",
            )
        axes.set_xlabel("share of the first network")
        axes.set_ylabel(f"test {name}")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False
    )
    figure.savefig(file, dpi=160)


def table(curves: Mapping[str, Sequence[Point]]) -> str:
    """Return barriers, ends and middle of each curve as text."""
    rows = [f"{'statistics':14}{'':7}{'barrier':>10}{'second':>10}{'middle':>10}{'first':>10}"]
    for kind, curve in curves.items():
        for name, height in barriers(curve).items():
            places = [getattr(curve[place], name) for place in (0, len(curve) // 2, -1)]
            rows.append(
                f"{kind:14}{name:7}" + "".join(f"{value:10.4f}" for value in (height, *places))
            )
    return "\n".join(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mode_connectivity", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "one",
        type=Path,
        help="a checkpoint, in the directory of its run, whose config says what is evaluated",
    )
    parser.add_argument("other", type=Path, help="a checkpoint of a network of the same shape")
    parser.add_argument(
        "--points", type=int, default=30, help="networks on the line, ends included"
    )
    where = (
        "a new file for the numbers, with the picture beside it; by default the picture goes to "
        "the first checkpoint's run"
    )
    parser.add_argument("--json", type=Path, default=None, help=where)
    return parser


def _build(checkpoint: Path) -> Run:
    """Return the run of a checkpoint, built but not run."""
    home = checkpoint.absolute().parent.parent
    if not (home / CONFIG).is_file():
        raise UserError(
            checkpoint,
            problem=f"no {CONFIG} in {home}",
            fix="name a checkpoint in the directory of its run",
        )
    run = build(parse(["test", "--config", str(home / CONFIG)]), RunLocation(home, None, None))
    run.data.trainer = run.trainer
    return run


def connect(one: Path, other: Path, points: int) -> dict[str, list[Point]]:
    """Evaluate the line between two checkpoints on the test split of the first one's run.

    Raises:
        UserError: for a missing checkpoint or config, or networks of different shapes.
    """
    if points < 2:
        raise UserError("points", value=points, fix="set 2 or more")
    if missing := [path for path in (one, other) if not path.is_file()]:
        raise UserError(missing[0], problem="no such file", fix="name a checkpoint")
    states = [read_checkpoint(path) for path in (one, other)]
    built = _build(one)
    data: Any = built.data
    module = built.model.to(data.device)
    for path, state in zip((one, other), states, strict=True):
        check_network(state, module.state_dict(), path)

    def pairs() -> Iterable[tuple[Tensor, Tensor]]:
        for raw in data.test_dataloader():
            batch = data.on_after_batch_transfer(
                type(raw)(*(part.to(data.device) for part in raw)), 0
            )
            yield batch.inputs, batch.targets

    images = (
        training_probe(data, EXAMPLES, False, data.now).inputs
        if batch_norm_layers(module)
        else None
    )
    batches = () if images is None else torch.split(images, data.batch_size)
    ends = [
        {name: value.to(data.device) for name, value in state["state_dict"].items()}
        for state in states
    ]
    return line(module, ends[0], ends[1], points, pairs, batches)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    given = _parser().parse_args(args)
    silence_known_warnings()
    with errors_in_one_line("mode_connectivity"):
        if given.json and (given.json.suffix != ".json" or not given.json.parent.is_dir()):
            raise UserError(
                "json", value=given.json, problem="name a file .json in a folder that there is"
            )
        if there := [
            file
            for file in (given.json, given.json and given.json.with_suffix(".png"))
            if file and file.exists()
        ]:
            raise UserError(
                "json",
                value=there[0],
                problem="is there already, and is left alone",
                fix="name a new file",
            )
        curves = connect(given.one, given.other, given.points)
    print(table(curves))
    picture = (
        given.json or given.one.absolute().parent.parent / "mode_connectivity.json"
    ).with_suffix(".png")
    if given.json:
        found = {
            kind: {"barrier": barriers(curve), "points": [point._asdict() for point in curve]}
            for kind, curve in curves.items()
        }
        given.json.write_text(
            json.dumps({"one": str(given.one), "other": str(given.other), **found}, indent=2) + "\n"
        )
    draw(curves, picture)
    print(f"picture: {picture}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
