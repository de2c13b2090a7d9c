"""`fit`, `validate`, `test` and `predict`: one run, from YAML alone."""

import sys
from collections.abc import Sequence
from pathlib import Path

from plasticity_lab.command_line import errors_in_one_line
from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.project import find_own_classes
from plasticity_lab.runs.build import build
from plasticity_lab.runs.kept_arguments import kept_arguments
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run import Run


def run(args: Sequence[str]) -> Run:
    """Parse a command line, build its run, check it and carry out its command.

    Raises:
        UserError: for a mistake in it.
    """
    config = parse(args)
    built = build(config)
    built.check()
    if built.trainer.is_global_zero:
        for line in kept_arguments(config.given, config.settings):
            print(line)
    match config.command:
        case "fit" if config.settings.print_timeline:
            if built.trainer.is_global_zero:
                print(built.timeline())
        case "fit":
            if built.fit():
                built.report()
        case "predict":
            built.predict()
            print(f"predictions: {built.predictions}")
        case "validate":
            built.validate()
            _print_metrics(built)
        case "test":
            built.test()
            _print_metrics(built)
    return built


def _print_metrics(built: Run) -> None:
    """Print what was measured, in one line and once."""
    if built.trainer.is_global_zero:
        metrics = sorted(built.trainer.callback_metrics.items())
        print("   ".join(f"{name} {float(value):.4f}" for name, value in metrics))


def main(args: Sequence[str] | None = None) -> Run:
    """Run a command line; a user's mistake ends in one line and exit code 2."""
    silence_known_warnings()
    find_own_classes()
    with errors_in_one_line(Path(sys.argv[0]).name):
        return run(sys.argv[1:] if args is None else args)
