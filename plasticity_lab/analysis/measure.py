"""Diagnostics on checkpoints: `python measure.py RUN/checkpoints/last.ckpt --config FILE`."""

import argparse
import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger

from callbacks.diagnostics.base import (
    Diagnostic,
    ProbeDiagnostic,
    check_diagnostic,
    check_kinds,
    log_measured,
)
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.run_look import blank_look, look_at_module, multiplied, with_data
from callbacks.probe import NO_PROBE, training_probe
from datamodules import ImageDataModule
from plasticity_lab.analysis.finished_run import clock_of
from plasticity_lab.checkpoint_files import check_network, read_checkpoint
from plasticity_lab.command_line import CommandParser, called, errors_in_one_line, program
from plasticity_lab.errors import UserError
from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.project import find_own_classes
from plasticity_lab.runs.build import build
from plasticity_lab.runs.file_names import CONFIG
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run import Run
from plasticity_lab.runs.run_directory import RunLocation, check_writable, home_of
from plasticity_lab.timing import Position

DESCRIPTION = """Measure checkpoints, as a run with the diagnostics would have at those steps.

The network, the data and the seed are those of the checkpoint's run, by the config.yaml in its
directory. The diagnostics are those that --config files add to trainer.callbacks, or else the
run's own. What the network or the checkpoint does not allow is left out, and said.

Values are printed, and written to a new folder in the run's directory: measured.csv and an event
file for TensorBoard."""

EXAMPLES = """examples:
  {program} runs/digits/RUN/checkpoints/last.ckpt --config configs/diagnostics/fisher.yaml
  {program} runs/digits/RUN/checkpoints/*.ckpt --config configs/diagnostics/all.yaml

All other options are those of `fit`, such as --data.init_args.dataset.init_args.root."""


class Measurement(NamedTuple):
    """What was measured of a checkpoint.

    Attributes:
        steps: optimizer steps taken.
        step: at which a run logs what it measures then: that of the last batch.
        values: numbers and figures by tag.
        left_out: why, by the class of a diagnostic.
    """

    steps: int
    step: int
    values: dict[str, float | Figure]
    left_out: dict[str, str]


def measure(checkpoint: Path, args: Sequence[str] = ()) -> Measurement:
    """Measure a checkpoint.

    Args:
        checkpoint: in the directory of its run.
        args: as `train.py fit` takes them; `--config` files whose `trainer.callbacks+` list
            diagnostics. None are the diagnostics of the run itself.

    Raises:
        UserError: for a checkpoint without a run, of another network or data module, or nothing to
            measure.
    """
    if checkpoint.is_dir():
        fix = f"name a checkpoint in it, as {checkpoint}/checkpoints/last.ckpt"
        raise UserError(checkpoint, problem="is a directory", fix=fix)
    if not checkpoint.is_file():
        raise UserError(checkpoint, problem="no such file", fix="name a checkpoint")
    home = home_of(checkpoint)
    run_args = ["fit", "--config", str(home / CONFIG)]
    run = build(parse([*run_args, *args]), RunLocation(home, checkpoint, None))
    listed = run.listed[_count(run_args, run) :] or run.listed
    if not any(isinstance(callback, Diagnostic) for callback in listed):
        fix = "list them in a file for --config, such as configs/diagnostics/fisher.yaml"
        raise UserError("trainer.callbacks", problem="holds no diagnostics", fix=fix)
    check_kinds(listed)
    state = read_checkpoint(checkpoint)
    look = _look(run, state, checkpoint)

    values: dict[str, float | Figure] = {}
    left_out: dict[str, str] = {}
    for callback in listed:
        name = type(callback).__name__
        if not isinstance(callback, Diagnostic):
            left_out[name] = "watches training"
            continue
        try:
            measured = _measured(callback, run, state, look)
        except UserError as error:
            left_out[name] = str(error).removeprefix(f"{name}: ")
            continue
        values |= {f"{callback.group}/{tag}": value for tag, value in measured.items()}
    return Measurement(look.step, max(0, look.step - 1), values, left_out)


def _count(run_args: Sequence[str], run: Run) -> int:
    """Return how many callbacks of a run stand in its own config; 0 if other ones replace them."""
    nodes = parse(run_args).settings.trainer.callbacks or []
    all_nodes = run.config.settings.trainer.callbacks or []
    return len(nodes) if all_nodes[: len(nodes)] == nodes else 0


def _look(run: Run, state: Mapping[str, Any], checkpoint: Path) -> Look:
    """Return a look at the network of a checkpoint, with a probe of no examples."""
    # What averages the weights keeps its average in their place.
    weights = state.get("current_model_state", state["state_dict"])
    check_network({"state_dict": weights}, run.model.state_dict(), checkpoint)
    run.model.load_state_dict(weights)
    run.trainer.datamodule = run.data  # type: ignore[attr-defined]  # Lightning does so, later
    run.data.trainer = run.trainer
    model = run.model.to(run.trainer.strategy.root_device).train()

    # After the batch that was trained last.
    now = (clock_of(state).last or Position(0, 0))._replace(step=state["global_step"])
    rate = None
    if state["optimizer_states"]:
        rate = float(state["optimizer_states"][0]["param_groups"][0]["lr"])
    look = look_at_module(
        model,
        NO_PROBE,
        seed=run.config.settings.seed_everything,
        epoch=now.epoch,
        step=now.step,
        learning_rate=multiplied(rate, run.trainer, now),
    )
    if not isinstance(run.data, ImageDataModule):
        raise UserError(
            "data",
            value=type(run.data).__name__,
            problem="only datamodules.ImageDataModule tells which examples a run was measured on",
            fix="list the diagnostics when the run is trained",
        )
    return with_data(look, run.data, now.stage)


def _measured(
    diagnostic: Diagnostic, run: Run, state: Mapping[str, Any], look: Look
) -> Mapping[str, float | Figure]:
    """Return what a diagnostic measures.

    Raises:
        UserError: for what the network, the task or the checkpoint does not allow.
    """
    history = state["callbacks"].get(diagnostic.state_key)
    if diagnostic.needs_history and not history:
        raise UserError("checkpoint", problem="does not hold what it has followed since the start")
    check_diagnostic(diagnostic, blank_look(run.trainer, run.model))
    if diagnostic.needs_history:
        diagnostic.load_state_dict(history)
        diagnostic.on_train_start(run.trainer, run.model)
    data: Any = run.data
    if isinstance(diagnostic, ProbeDiagnostic):
        now = Position(look.epoch, look.step, look.stage)
        stage = diagnostic.probe_stage(look.stage)
        probe = training_probe(data, diagnostic.examples, diagnostic.impaired, now, stage)
        look = replace(look, probe=probe)
    return diagnostic.look_at(look)


def write(measurements: Mapping[Path, Measurement], folder: Path) -> None:
    """Write measurements to a folder, as a table and as an event file."""
    logger = TensorBoardLogger(folder.parent, name=folder.name, version="")
    with (folder / "measured.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["checkpoint", "steps", "tag", "value"])
        for path, measurement in measurements.items():
            for tag, value in measurement.values.items():
                if not isinstance(value, Figure):
                    writer.writerow([path, measurement.steps, tag, repr(float(value))])
    for measurement in measurements.values():
        log_measured(logger, measurement.values, measurement.step)
    logger.finalize("success")


def _new_folder(home: Path) -> Path:
    """Make a folder that no other command of the same second has."""
    name = f"measured-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = home / name, 0
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = home / f"{name}-{number}"
        else:
            return folder


def report(path: Path, measurement: Measurement) -> str:
    """Return what was measured of a checkpoint as text."""
    numbers = {
        tag: value for tag, value in measurement.values.items() if not isinstance(value, Figure)
    }
    width = max((len(tag) for tag in numbers), default=0)
    lines = [f"{path} after {measurement.steps} steps"]
    lines += [f"  {tag:{width}}  {value:.6g}" for tag, value in numbers.items()]
    if measurement.left_out:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in measurement.left_out.items())
        lines.append(f"  left out: {reasons}")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    parser = CommandParser(
        prog=program("measure.py"),
        description=DESCRIPTION,
        epilog=EXAMPLES.format(program=called("measure.py")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", help="in the directory of their run")
    parser.add_argument("--config", action="append", default=[], help="what lists diagnostics")
    silence_known_warnings()
    find_own_classes()
    with errors_in_one_line(program("measure.py")):
        options, overrides = parser.parse_known_args(args)
        overrides = [part for file in options.config for part in ("--config", file)] + overrides
        home = options.checkpoints[0].absolute().parent.parent
        check_writable("checkpoint", home)
        measurements = {}
        for path in options.checkpoints:
            measurements[path] = measure(path, overrides)
            print(report(path, measurements[path]))
        folder = _new_folder(home)
        write(measurements, folder)
    print(f"measured: {folder / 'measured.csv'}")
    return 0
