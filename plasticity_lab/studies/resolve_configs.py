"""Runs of a study as train.py would resolve them."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from plasticity_lab.errors import UserError
from plasticity_lab.runs.parse import parse
from plasticity_lab.studies.overrides import nested
from plasticity_lab.studies.study_file import SEED, Run


def resolved_config(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the whole config of each run, in plain values.

    Files are parsed once for all seeds of an arm.

    Raises:
        UserError: for a config that train.py would refuse, or two runs with the same one.
    """
    parsed: dict[str, dict[str, Any]] = {}
    configs: list[dict[str, Any]] = []
    for run in runs:
        kind = json.dumps(
            [[str(file) for file in run.configs], {**run.overrides, SEED: None}], default=str
        )
        if kind not in parsed:
            parsed[kind] = _parsed(run)
        seed = run.overrides.get(SEED, parsed[kind][SEED])
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise UserError(SEED, value=seed, fix=f"set a whole number in 0…{2**32 - 1}")
        configs.append({**parsed[kind], SEED: seed})
        if (first := configs.index(configs[-1])) < len(configs) - 1:
            raise UserError(
                run.name,
                problem=f"is the same run as {runs[first].name}",
                fix="let them differ, or remove one",
            )
    return configs


def _parsed(run: Run) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "overrides.yaml"
        file.write_text(yaml.safe_dump(nested(run.overrides), sort_keys=False))
        arguments = ["fit"]
        for config_file in [*run.configs, file]:
            arguments += ["--config", str(config_file)]
        try:
            config = parse(arguments).resolved()
        except UserError as error:
            raise error.within(run.name) from None
        _make_a_part_of_a_study(config["trainer"], run.name)
        return config


def _make_a_part_of_a_study(trainer: dict[str, Any], name: str) -> None:
    if trainer["devices"] not in ("auto", 1, "1") or trainer["num_nodes"] != 1:
        key = "devices" if trainer["num_nodes"] == 1 else "num_nodes"
        raise UserError(
            f"{name}: trainer.{key}",
            value=trainer[key],
            problem="a run of a study has one device",
            fix="remove it, and use --jobs",
        )
    if trainer["logger"] not in (None, True):
        raise UserError(
            name,
            value="trainer.logger",
            problem="a study reads the event files of its runs",
            fix="remove it",
        )
    if trainer["max_epochs"] is not None and trainer["max_epochs"] == 0:
        raise UserError(
            f"{name}: trainer.max_epochs",
            value="0",
            problem="nothing would be trained",
            fix="set 1 or more, or remove this run",
        )
    trainer.update(devices=1, logger=None)
