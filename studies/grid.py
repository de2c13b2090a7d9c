"""A study's YAML file, and the runs it names."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from errors import UserError
from run_directory import KEYS as CONFIG_KEYS
from studies.expressions import filled

KEYS = {"name", "config", "axes", "arms", "set", "report", "claims"}
SEED = "seed_everything"


class Run(NamedTuple):
    """One run of a study, as its YAML file names it.

    Attributes:
        values: what tells it from the others: variables, `arm`, `seed`.
        configs: config files, in order.
        overrides: dotted keys and their values, which stand above all files.
    """

    values: dict[str, Any]
    configs: list[Path]
    overrides: dict[str, Any]

    @property
    def name(self) -> str:
        """What its directory is called: `removed=5,seed=0`."""
        named = [str(value) if key == "arm" else f"{key}={value}" for key, value in self.values.items()]
        return ",".join(named).replace("/", "-").replace(" ", "-")


class Study(NamedTuple):
    """A study.

    Attributes:
        name: what its directory is called.
        runs: its runs, all combinations of arms and axes.
        report: how they are shown; see `studies.report`.
        claims: what is claimed of them; see `studies.ledger`.
        file: its YAML file.
    """

    name: str
    runs: list[Run]
    report: dict[str, Any]
    claims: list[dict[str, Any]]
    file: Path


def read_study(file: Path, config: Sequence[Path] = ()) -> Study:
    """Read a study.

    `axes` is a list of entries that are crossed. The keys of one entry move together: each has a list of as many values. A dotted
    key is one of a run's config, `config` names files, and any other is a variable. `arms` names arms that differ in kind, each a
    mapping from keys to single values, whose variables only serve to compute others. `set` holds keys of every run. A string may
    compute with variables: `"{removed + 20}"`.

    Args:
        file: the YAML file; files it names are relative to it.
        config: files on top of those it names, for every run.

    Raises:
        UserError: for a key that a study does not have, values of unequal number in an entry, or an unknown variable.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except OSError:
        raise UserError(f"{file}: there is no such study; they lie in configs/studies") from None
    except yaml.YAMLError as error:
        raise UserError(f"{file}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or "name" not in content:
        raise UserError(f"{file}: name: a study needs one")
    if unknown := set(content) - KEYS:
        raise UserError(f"{file}: {sorted(unknown)[0]}: a study has no such key; it has {', '.join(sorted(KEYS))}")
    if not re.fullmatch(r"\w[\w.-]*", str(content["name"])):
        raise UserError(f"{file}: name: {content['name']}: is a folder's; write letters, digits, '-', '_' and '.'")
    axes, arms, common = (_of_kind(content, key, kind) for key, kind in (("axes", list), ("arms", dict), ("set", dict)))
    entries = [_entry(entry, number) for number, entry in enumerate(axes)]
    if arms:
        entries.insert(0, [_arm(arm, keys) for arm, keys in arms.items()])
    if variable := next((key for key in common if _is_variable(key)), None):
        raise UserError(f"set: {variable}: is no key of a config, as data.init_args.batch_size; variables stand in axes")
    told = ["arm"] * bool(arms) + [key for entry in axes for key in entry if _is_variable(key)]
    on_top = [{"config": [str(one.absolute()) for one in config]}]
    common = {"config": content.get("config") or [], **common}
    runs = [_run(file.parent, common, choice, told) for choice in itertools.product(*entries, on_top)]
    names = [run.name for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"axes: {twice}: stands for several runs; give every entry of axes a variable that names its values")
    return Study(str(content["name"]), runs, _of_kind(content, "report", dict), _of_kind(content, "claims", list), file)


def _of_kind(content: dict[str, Any], key: str, kind: type) -> Any:
    value = content.get(key) or kind()
    if not isinstance(value, kind):
        raise UserError(f"{key}: {value}: write {'a list' if kind is list else 'keys and values'}, as in configs/studies")
    return value


def _arm(arm: str, keys: Any) -> dict[str, Any]:
    if not isinstance(keys or {}, dict):
        raise UserError(f"arms: {arm}: {keys}: write keys and values, or nothing")
    return {"arm": arm, **(keys or {})}


def _entry(entry: dict[str, list[Any]], number: int) -> list[dict[str, Any]]:
    if not isinstance(entry, dict) or not entry or not all(isinstance(values, list) and values for values in entry.values()):
        raise UserError(f"axes: entry {number}: write a list of values for each key")
    lengths = {key: len(values) for key, values in entry.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise UserError(f"axes: {shown}: keys of one entry move together and need as many values each")
    for key, values in entry.items():
        if nest := next((one for one in values if _is_variable(key) and isinstance(one, list | dict)), None):
            raise UserError(f"axes: {key}: {nest}: a variable names runs: write a number or a text")
    return [dict(zip(entry, values, strict=True)) for values in zip(*entry.values(), strict=True)]


def _is_variable(key: str) -> bool:
    if key in CONFIG_KEYS and key != SEED:
        raise UserError(f"{key}: write its keys with dots, as {key}.…, in set, axes or arms")
    return "." not in key and key not in ("config", SEED)


def _run(home: Path, common: dict[str, Any], choice: tuple[dict[str, Any], ...], told: list[str]) -> Run:
    merged = {key: value for part in choice for key, value in part.items()}
    values = {key: value for key, value in merged.items() if _is_variable(key)}
    files = [file for part in (common, *choice) for file in _listed(part.get("config"))]
    overrides = {key: value for key, value in {**common, **merged}.items() if "." in key or key == SEED}
    seed = {"seed": overrides[SEED]} if SEED in overrides else {}
    filled_in = {key: filled(value, {**values, **seed}) for key, value in overrides.items()}
    configs = [(home / filled(file, values)).resolve() for file in files]
    if missing := next((file for file in configs if not file.is_file()), None):
        raise UserError(f"config: {missing}: there is no such file; they are named relative to the study's")
    return Run({**{key: values[key] for key in told}, "seed": overrides.get(SEED, 0)}, configs, filled_in)


def _listed(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else list(files or [])
