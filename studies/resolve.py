"""Runs of a study as train.py would resolve them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from command_line import one_line
from errors import UserError
from run_directory import KEYS
from studies.grid import Run
from train import CLI, main


class _Parse(CLI):
    """Parses and does nothing else."""

    def _set_seed(self) -> None: ...
    def before_instantiate_classes(self) -> None: ...
    def instantiate_classes(self) -> None: ...
    def after_instantiate_classes(self) -> None: ...
    def _run_subcommand(self, subcommand: str) -> None: ...


def resolved(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the whole config of each run, in plain values.

    Raises:
        UserError: for a config that train.py would refuse, or two runs with the same one.
    """
    parser: Any = None
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "overrides.yaml"
        for run in runs:
            file.write_text(yaml.safe_dump(_nested(run.overrides), sort_keys=False))
            arguments = ["fit", *(part for config in [*run.configs, file] for part in ("--config", str(config)))]
            try:
                parser = parser or main(arguments, _Parse).parser
                settings = parser.parse_args(arguments)
            except UserError as error:
                raise UserError(f"{run.name}: {one_line(str(error))}") from None
            dump = yaml.safe_load(parser._subcommands_action.choices["fit"].dump(settings["fit"], skip_unset=False))
            found.append({key: dump[key] for key in KEYS})
            if (first := found.index(found[-1])) < len(found) - 1:
                raise UserError(f"{run.name}: is the same run as {runs[first].name}; let them differ, or leave one out")
    return found


def _nested(overrides: dict[str, Any]) -> dict[str, Any]:
    nest: dict[str, Any] = {}
    for key, value in overrides.items():
        *folders, last = key.split(".")
        inner = nest
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[last] = value
    return nest
