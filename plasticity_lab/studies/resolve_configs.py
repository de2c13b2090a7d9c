"""Runs of a study as train.py would resolve them."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from plasticity_lab.errors import UserError
from plasticity_lab.runs.parse import parse
from plasticity_lab.studies.expressions import filled
from plasticity_lab.studies.overrides import nested
from plasticity_lab.studies.study_parts import SEED
from plasticity_lab.studies.study_run import Run

LOGGER = "trainer.logger"


class ResolvedRuns(NamedTuple):
    """The configs of a study's runs, those of an arm held once.

    Attributes:
        arms: whole configs in plain values, without a seed.
        arm_of_run: of each run, the number of its arm.
        seeds: of each run, its seed.
        loggers: of each run, class path and arguments of each logger that it is sent to.
    """

    arms: list[dict[str, Any]]
    arm_of_run: list[int]
    seeds: list[int]
    loggers: list[list[dict[str, Any]]]

    def config(self, number: int) -> dict[str, Any]:
        """Return the whole config of a run."""
        return {**self.arms[self.arm_of_run[number]], SEED: self.seeds[number]}


def resolve(runs: Sequence[Run], provisional: bool = False) -> ResolvedRuns:
    """Return the whole configs of runs.

    Files are parsed once for all seeds of an arm.

    Args:
        runs: the runs.
        provisional: whether they lack what will tell some of them from others.

    Raises:
        UserError: for a config that train.py would refuse, or two runs with the same one.
    """
    resolved = ResolvedRuns([], [], [], [])
    known: dict[str, tuple[int, Any, Any]] = {}
    arm_of_config: dict[str, int] = {}
    run_names: dict[tuple[int, int], str] = {}
    for run in runs:
        # Runs of the same files and keys are one arm, and so are those that come to the same. Where
        # a run is logged to may depend on its seed.
        overrides = {key: value for key, value in run.overrides.items() if key != LOGGER}
        keys = json.dumps(
            [[str(file) for file in run.configs], {**overrides, SEED: None}], default=str
        )
        if keys not in known:
            config = _parsed(run._replace(overrides=overrides))
            logger = config["trainer"]["logger"]
            without_seed = {**config, "trainer": {**config["trainer"], "logger": None}, SEED: None}
            text = json.dumps(without_seed, default=str)
            arm = arm_of_config.setdefault(text, len(resolved.arms))
            if arm == len(resolved.arms):
                resolved.arms.append(without_seed)
            known[keys] = arm, config[SEED], logger
        arm, seed_of_files, logger_of_files = known[keys]

        seed = run.overrides.get(SEED, seed_of_files)
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise UserError(SEED, value=seed, fix=f"set a whole number in 0…{2**32 - 1}")
        first = run_names.setdefault((arm, seed), run.name)
        if first != run.name and not provisional:
            raise UserError(
                run.name,
                problem=f"is the same run as {first}",
                fix="let them differ, or remove one",
            )
        resolved.arm_of_run.append(arm)
        resolved.seeds.append(seed)
        logger = run.overrides.get(LOGGER)
        if logger is None:
            logger = filled(logger_of_files, {**run.values, "seed": seed})
        resolved.loggers.append(_nodes(logger))
    _check_loggers(resolved.loggers)
    return resolved


def _nodes(logger: Any) -> list[dict[str, Any]]:
    """Return the loggers of a config besides TensorBoard's, which every run of a study has."""
    if logger in (None, True, False):
        return []
    return logger if isinstance(logger, list) else [logger]


def _check_loggers(of_runs: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Check loggers, of those that differ in texts and numbers alone the first."""
    if not any(of_runs):
        return
    from plasticity_lab.studies.loggers import check_logger

    checked: set[str] = set()
    for node in (node for nodes in of_runs for node in nodes):
        arguments = node.get("init_args") if isinstance(node, dict) else None
        keys = sorted(map(str, arguments)) if isinstance(arguments, dict) else arguments
        kind = str({**node, "init_args": keys} if isinstance(node, dict) else node)
        if kind not in checked:
            check_logger(node)
        checked.add(kind)


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
    if trainer["max_epochs"] is not None and trainer["max_epochs"] == 0:
        raise UserError(
            f"{name}: trainer.max_epochs",
            value="0",
            problem="nothing would be trained",
            fix="set 1 or more, or remove this run",
        )
    trainer.update(devices=1)
