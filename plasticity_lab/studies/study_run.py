"""One run of a study."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.studies.expressions import filled, names
from plasticity_lab.studies.study_parts import SEED, config_files, overrides, variables

LONGEST_NAME = 255
"""Bytes in the name of a folder, as file systems have it."""

_KEPT = 200  # bytes, of a longer name


class Run(NamedTuple):
    """One run of a study, as its YAML file names it.

    Attributes:
        values: what distinguishes it from the others: variables, `arm`, `seed`.
        configs: config files, in order.
        overrides: dotted keys and their values, which override all files.
        candidate: of a run that is trained to choose coefficients, its variables; see `Selection`.
        used: the variables that its expressions name.
    """

    values: dict[str, Any]
    configs: list[Path]
    overrides: dict[str, Any]
    candidate: dict[str, Any] | None = None
    used: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Return the name of its directory: `removed=5,seed=0`.

        A name too long for a folder ends in a hash of the whole.
        """
        parts = [
            shown(value) if key == "arm" else f"{key}={shown(value)}"
            for key, value in self.values.items()
        ]
        name = ",".join(parts).replace("/", "-").replace(" ", "-")
        encoded = name.encode()
        if len(encoded) <= LONGEST_NAME:
            return name
        beginning = encoded[:_KEPT].decode(errors="ignore")
        return f"{beginning}-{hashlib.sha256(encoded).hexdigest()[:16]}"


def shown(value: Any) -> str:
    """Return a variable's value as text; null is `none`."""
    return "none" if value is None else str(value)


def without_equals(runs: Sequence[Run]) -> list[Run]:
    """Return runs without those that equal an earlier one."""
    first: dict[str, Run] = {}
    for run in runs:
        files = [str(file) for file in run.configs]
        first.setdefault(json.dumps([files, run.overrides], default=str), run)
    return list(first.values())


def make_run(
    home: Path, parts: Sequence[dict[str, Any]], naming: Sequence[str], given: Mapping[str, str]
) -> Run:
    """Make a run of its parts, the earliest first.

    Args:
        home: what files are named relative to.
        parts: the parts.
        naming: the variables that name it.
        given: what its expressions may name besides its variables.

    Raises:
        UserError: for a config file that does not exist.
    """
    values = variables(parts)
    keys = overrides(parts)
    with_seed = {**given, **values}
    if SEED in keys:
        with_seed["seed"] = keys[SEED]
    filled_in = {key: filled(value, with_seed) for key, value in keys.items()}
    configs = [(home / str(filled(file, values))).resolve() for file in config_files(parts)]
    if missing := next((file for file in configs if not file.is_file()), None):
        raise UserError(
            "config",
            value=missing,
            problem="there is no such file",
            fix="they are named relative to the study's",
        )
    named_by = {key: values[key] for key in naming}
    used = frozenset(names([keys, config_files(parts)]))
    return Run({**named_by, "seed": keys.get(SEED, 0)}, configs, filled_in, used=used)
