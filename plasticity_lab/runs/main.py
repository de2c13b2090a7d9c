"""`fit`, `validate`, `test` and `predict`: one run, from YAML alone."""

import sys
from collections.abc import Sequence
from pathlib import Path

from plasticity_lab.project import find_own_classes
from plasticity_lab.runs.build import build
from plasticity_lab.runs.command_line import errors_in_one_line, silence_known_warnings
from plasticity_lab.runs.parse import parse
from plasticity_lab.runs.run import Run


def run(args: Sequence[str]) -> Run:
    """Do what a command line asks for.

    Raises:
        UserError: for a mistake in it.
    """
    config = parse(args)
    built = build(config)
    built.check()
    first = built.trainer.is_global_zero
    if config.command == "fit" and config.settings.print_timeline:
        if first:
            print(built.timeline())
    elif config.command == "fit":
        if built.fit():
            built.report()
    elif config.command == "predict":
        built.predict()
        print(f"class probabilities: {built.predictions}")
    else:
        {"validate": built.validate, "test": built.test}[config.command]()
        if first:
            print(
                "   ".join(
                    f"{name} {float(value):.4f}"
                    for name, value in sorted(built.trainer.callback_metrics.items())
                )
            )
    return built


def main(args: Sequence[str] | None = None) -> Run:
    """Run a command line; a user's mistake ends in one line and exit code 2."""
    silence_known_warnings()
    find_own_classes()
    with errors_in_one_line(Path(sys.argv[0]).name):
        return run(sys.argv[1:] if args is None else args)
