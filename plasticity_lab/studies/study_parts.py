"""What the parts of a study's file (`set`, an entry of `axes`, an arm) say of a run."""

from collections.abc import Sequence
from typing import Any

from plasticity_lab.errors import UserError
from plasticity_lab.runs.file_names import KEYS as CONFIG_KEYS
from plasticity_lab.studies.overrides import added_up

SEED = "seed_everything"

COLUMNS = {
    *("study", "tag", "step", "epoch", "value"),
    *("runs", "mean", "sd", "difference", "low", "high", "paper"),
}
"""Names that tables give to what is no variable of a study."""


def is_variable(key: Any) -> bool:
    """Whether a key of a study is a variable, and none of a run's config.

    Raises:
        UserError: for what can be neither.
    """
    if not isinstance(key, str):
        raise UserError(key, fix="set the key as a text, a config's with dots")
    if key in COLUMNS:
        raise UserError(
            key, problem="is a column of the tables of every study", fix="choose another name"
        )
    if key in CONFIG_KEYS and key != SEED:
        raise UserError(key, fix=f"set its keys with dots, as {key}.…, in set, axes or arms")
    return "." not in key and key not in ("config", SEED)


def variables(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the variables of a run and their values, the last of each."""
    return {key: value for part in parts for key, value in part.items() if is_variable(key)}


def overrides(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return dotted keys of a run and their values; keys that end in `+` are added up."""
    return {key: value for key, value in added_up(parts).items() if "." in key or key == SEED}


def config_files(parts: Sequence[dict[str, Any]]) -> list[str]:
    """Return the config files that a run names, in order."""
    return [file for part in parts for file in _listed(part.get("config"))]


def _listed(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else list(files or [])
