"""Loss and error on the line between two trained networks (linear mode connectivity).

Run by `python -m plasticity_lab.analysis.mode_connectivity A.ckpt B.ckpt`.
"""

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.probe import training_probe
from datamodules import ImageDataModule
from plasticity_lab.analysis.finished_run import batches_of_test_split, build_run
from plasticity_lab.analysis.interpolation import Point, barriers, interpolate_path
from plasticity_lab.checkpoint_files import check_network, read_checkpoint
from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.files import write_atomically
from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.runs.run import Run
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


def _parser() -> CommandParser:
    parser = CommandParser(prog="mode_connectivity", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "first",
        type=Path,
        help="a checkpoint in the directory of its run, on whose test split networks are evaluated",
    )
    parser.add_argument("second", type=Path, help="a checkpoint of a network of the same shape")
    parser.add_argument(
        "--points", type=int, default=30, help="networks on the line, ends included"
    )
    json_help = (
        "a new file for the numbers, with the picture beside it; by default the picture is "
        "mode_connectivity.png, also new, in the first checkpoint's run"
    )
    parser.add_argument("--json", type=Path, default=None, help=json_help)
    return parser


def linear_mode_connectivity(first: Path, second: Path, points: int) -> dict[str, list[Point]]:
    """Evaluate the line between two checkpoints on the test split of the first one's run.

    Raises:
        UserError: for a missing checkpoint or config, or networks of different shapes.
    """
    if points < 2:
        raise UserError("points", value=points, fix="set 2 or more")
    if missing := [path for path in (first, second) if not path.is_file()]:
        raise UserError(missing[0], problem="no such file", fix="name a checkpoint")
    built, first_state = build_run(first)
    states = first_state, read_checkpoint(second)
    _check_kind(built)
    data: Any = built.data
    module = built.model.to(data.device)
    for path, state in zip((first, second), states, strict=True):
        check_network(state, module.state_dict(), path)

    # Batch norm's statistics are estimated again from some training examples.
    batches: Sequence[Tensor] = ()
    if batch_norm_layers(module):
        images = training_probe(data, EXAMPLES, False, data.now, data.shown_stage).inputs
        images = built.trainer.precision_plugin.convert_input(images)
        batches = torch.split(images, data.batch_size)
    ends = [_moved(state["state_dict"], data.device) for state in states]
    return interpolate_path(
        module, ends[0], ends[1], points, partial(batches_of_test_split, data), batches
    )


def _check_kind(run: Run) -> None:
    """Raise UserError for a run whose cross-entropy and error on a test split are not known."""
    if not isinstance(run.data, ImageDataModule):
        raise UserError(
            "data",
            value=type(run.data).__name__,
            problem="its test split is not known",
            fix="compare runs with datamodules.ImageDataModule",
        )
    if not run.data.num_classes:
        raise UserError(
            "data",
            value=type(run.data.dataset).__name__,
            problem="has no classes, and what is compared is cross-entropy and error",
            fix="compare classifiers",
        )


def _moved(state: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in state.items()}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    silence_known_warnings()
    with errors_in_one_line("mode_connectivity"):
        options = _parser().parse_args(args)
        picture = _picture(options)
        curves = linear_mode_connectivity(options.first, options.second, options.points)
    print(table(curves))
    if options.json:
        content: dict[str, Any] = {"first": str(options.first), "second": str(options.second)}
        for kind, curve in curves.items():
            points = [point._asdict() for point in curve]
            content[kind] = {"barrier": barriers(curve), "points": points}
        with write_atomically(options.json) as unfinished:
            unfinished.write_text(json.dumps(content, indent=2) + "\n")
    draw(curves, picture)
    print(f"picture: {picture}")
    return 0


def _picture(options: Namespace) -> Path:
    """Return where the picture goes.

    Raises:
        UserError: for a file that cannot be written, or that would be replaced.
    """
    file: Path | None = options.json
    if file is None:
        first: Path = options.first
        picture = first.absolute().parent.parent / "mode_connectivity.png"
        targets = [picture]
    elif file.suffix != ".json" or not file.parent.is_dir():
        raise UserError("json", value=file, problem="name a file .json in an existing folder")
    else:
        picture = file.with_suffix(".png")
        targets = [file, picture]
    for target in targets:
        if target.exists():
            raise UserError(
                "json",
                value=target,
                problem="is there already, and is left alone",
                fix="name a new file",
            )
    return picture


if __name__ == "__main__":
    raise SystemExit(main())
