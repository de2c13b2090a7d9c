"""A study's YAML file, and the runs it names."""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.runs.file_names import KEYS as CONFIG_KEYS
from plasticity_lab.runs.yaml_files import load_yaml
from plasticity_lab.studies.expressions import filled, names
from plasticity_lab.studies.overrides import added_up
from plasticity_lab.studies.random_search import drawn
from plasticity_lab.studies.selection import (
    SELECTION,
    Choice,
    Selection,
    check_selection,
    read_selection,
)

KEYS = {"name", "config", "axes", "arms", "set", "pretraining", "select", "report", "claims"}
PRETRAINED = "pretrained"
"""Stands in braces for the weights that a run begins from; see `pretraining`."""

SEED = "seed_everything"

COLUMNS = {
    *("study", "tag", "step", "epoch", "value"),
    *("runs", "mean", "sd", "difference", "low", "high", "paper"),
}
"""Names that tables give to what is no variable of a study."""

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
    """

    values: dict[str, Any]
    configs: list[Path]
    overrides: dict[str, Any]
    candidate: dict[str, Any] | None = None

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


class Study(NamedTuple):
    """A study.

    Attributes:
        name: what its directory is called.
        runs: its runs, all combinations of arms and axes.
        report: how they are reported; see `plasticity_lab.studies.settings`.
        claims: what papers claim of them; see `Claim`.
        file: its YAML file.
        config: files on top of those it names, for every run.
        selection: how coefficients are chosen before it is run; None if none are.
        choices: what has been chosen.
        chooses_for: name of the study for which it chooses coefficients; "" if it is none of these.
        pretraining: file of the study whose runs' weights these runs begin from; None if there is
            none.
        comes_before: name of the study that is to be run after it; "" if it is the last.
        provisional: whether runs lack the weights that they will begin from.
    """

    name: str
    runs: list[Run]
    report: dict[str, Any]
    claims: list[dict[str, Any]]
    file: Path
    config: Sequence[Path]
    selection: Selection | None = None
    choices: Sequence[Choice] = ()
    chooses_for: str = ""
    pretraining: Path | None = None
    comes_before: str = ""
    provisional: bool = False


def shown(value: Any) -> str:
    """Return a variable's value as text; null is `none`."""
    return "none" if value is None else str(value)


def read_study(
    file: Path, config: Sequence[Path] = (), seeds: Sequence[int] | None = None
) -> Study:
    """Read a study.

    `axes` is a list of entries that are crossed. The keys of one entry move together: each has a
    list of as many values. A dotted key is one of a run's config, `config` names files, and any
    other is a variable. `arms` names arms that differ in kind, each a mapping from keys to single
    values, whose variables only serve to compute others. `set` holds keys of every run. A string
    may compute with variables: `"{removed + 20}"`. Of the same key in several of them the last
    counts, in the order `set`, `axes`, `arms`; keys that end in `+` add up.

    Args:
        file: the YAML file; files it names are relative to it.
        config: absolute paths of files on top of those it names, for every run.
        seeds: in place of its own.

    `pretraining` names another study, which is trained first: `{pretrained}` is the file of weights
    of its run with the same seed, and with the same values of all variables that both have.

    Raises:
        UserError: for a key that a study does not have, values of unequal number in an entry, an
            unknown variable, or one that nothing uses.
    """
    content = _content(file)
    axes = _of_kind(content, "axes", list)
    arms = _of_kind(content, "arms", dict)
    common = _of_kind(content, "set", dict)
    if "select" in content:
        _check_seeds_of_selection(axes, arms, common)
    if seeds is not None:
        axes = [*(entry for entry in axes if SEED not in entry), {SEED: list(seeds)}]
    axes = [_with_draws(entry, number) for number, entry in enumerate(axes)]
    choices = [_entry(entry, number) for number, entry in enumerate(axes)]
    if variable := next((key for key in common if _is_variable(key)), None):
        raise UserError(
            "set",
            value=variable,
            problem="is no key of a config, as data.init_args.batch_size",
            fix="variables stand in axes",
        )

    # The variables that name a run.
    naming = ["arm"] if arms else []
    for entry in axes:
        naming += [key for key in entry if _is_variable(key)]

    # Later parts override earlier ones: set, axes, arms, and the files on top.
    first = {"config": content.get("config") or [], **common}
    last = {"config": [str(path) for path in config]}
    groups = [_arm(arm, keys) for arm, keys in arms.items()] or [{}]
    parts = [
        [first, *chosen, arm, last] for arm in groups for chosen in itertools.product(*choices)
    ]
    pretraining = _pretraining(file, content)
    given = {PRETRAINED: f"{{{PRETRAINED}}}"} if pretraining else {}
    runs = [_run(file.parent, part, naming, given) for part in parts]

    counts = Counter(run.name for run in runs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UserError(
            "axes",
            value=twice[0],
            problem="stands for several runs",
            fix="give every entry of axes a variable that names its values",
        )
    _check_variables(axes, arms, parts)
    report = _of_kind(content, "report", dict)
    claims = _of_kind(content, "claims", list)
    study = Study(str(content["name"]), runs, report, claims, file, config, pretraining=pretraining)
    if "select" not in content:
        return study
    selection = read_selection(content["select"], report.get("over", "last epoch"))
    if seeds is None:
        entries = [[key for key in entry if _is_variable(key)] for entry in axes]
        own_seeds = [run.values["seed"] for run in runs]
        check_selection(selection, entries, own_seeds, report)
    return study._replace(selection=selection)


def _content(file: Path) -> dict[str, Any]:
    """Return the keys and values of a study's file, whose name and keys are valid."""
    if not file.exists():
        raise UserError(file, problem="there is no such study", fix="they lie in configs/studies")
    content = load_yaml(file)
    if not isinstance(content, dict) or content.get("name") is None:
        raise UserError(file, value="name", problem="a study needs one")
    if unknown := set(content) - KEYS:
        raise UserError(
            file,
            value=sorted(unknown, key=str)[0],
            problem="a study has no such key",
            fix=f"it has {', '.join(sorted(KEYS))}",
        )
    if not re.fullmatch(r"\w[\w.-]*", str(content["name"])):
        raise UserError(
            f"{file}: name",
            value=content["name"],
            problem="is a folder's",
            fix="use letters, digits, '-', '_' and '.'",
        )
    longest = LONGEST_NAME - (len(SELECTION) if "select" in content else 0)
    if len(str(content["name"]).encode()) > longest:
        raise UserError(
            file, value="name", problem="is a folder's", fix=f"use at most {longest} bytes"
        )
    return content


def _pretraining(file: Path, content: Mapping[str, Any]) -> Path | None:
    """Return the file of the study that is trained first; None without one."""
    if "pretraining" not in content:
        return None
    first = (file.parent / str(content["pretraining"])).resolve()
    if not first.is_file() or first == file.resolve():
        raise UserError(
            "pretraining",
            value=content["pretraining"],
            problem="there is no such other study",
            fix="name its file, relative to this one",
        )
    used = f"{{{PRETRAINED}}}" in str([content.get(key) for key in ("set", "axes", "arms")])
    if not used:
        raise UserError(
            "pretraining",
            value=content["pretraining"],
            problem="no run begins from its weights",
            fix=f'set model.init_args.initial_weights: "{{{PRETRAINED}}}", or remove it',
        )
    return first


def without_equals(runs: Sequence[Run]) -> list[Run]:
    """Return runs without those that equal an earlier one."""
    first: dict[str, Run] = {}
    for run in runs:
        files = [str(file) for file in run.configs]
        first.setdefault(json.dumps([files, run.overrides], default=str), run)
    return list(first.values())


def _of_kind(content: dict[str, Any], key: str, kind: type) -> Any:
    value = content.get(key) or kind()
    if not isinstance(value, kind):
        raise UserError(
            key,
            value=value,
            fix=f"set {('a list' if kind is list else 'keys and values')}, as in configs/studies",
        )
    return value


def _arm(arm: str, keys: Any) -> dict[str, Any]:
    if not isinstance(keys or {}, dict):
        raise UserError(f"arms: {arm}", value=keys, fix="set keys and values, or nothing")
    return {"arm": arm, **(keys or {})}


def _check_seeds_of_selection(
    axes: Sequence[Any], arms: Mapping[str, Any], common: Mapping[str, Any]
) -> None:
    """Raise UserError unless the seeds of a study that selects are an axis of their own."""
    entries = [entry for entry in axes if isinstance(entry, dict) and SEED in entry]
    elsewhere = SEED in common or any(SEED in (keys or {}) for keys in arms.values())
    if elsewhere or len(entries) != 1 or list(entries[0]) != [SEED]:
        raise UserError(
            "select",
            problem="replaces the seeds of a study by its own",
            fix=f"set {SEED} in an entry of axes that has no other key, and nowhere else",
        )
    values = entries[0][SEED]
    if not isinstance(values, list) or any(type(seed) is not int for seed in values):
        raise UserError(f"axes: {SEED}", value=values, fix="set a list of whole numbers")


def _with_draws(entry: Any, number: int) -> Any:
    """Return an entry of axes with values in place of distributions."""
    if not isinstance(entry, dict):
        return entry
    if any(isinstance(values, dict) for values in entry.values()) and SEED in entry:
        raise UserError(f"axes: entry {number}", problem="seeds are crossed with what is drawn")
    return {
        key: drawn(str(key), values) if isinstance(values, dict) else values
        for key, values in entry.items()
    }


def _entry(entry: dict[str, list[Any]], number: int) -> list[dict[str, Any]]:
    if (
        not isinstance(entry, dict)
        or not entry
        or not all(isinstance(values, list) and values for values in entry.values())
    ):
        raise UserError(f"axes: entry {number}", fix="set a list of values for each key")
    lengths = {key: len(values) for key, values in entry.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise UserError(
            "axes",
            value=counts,
            problem="keys of one entry move together and need as many values each",
        )
    for key, values in entry.items():
        if not _is_variable(key):
            continue
        for value in values:
            if value is not None and not isinstance(value, str | int | float):
                raise UserError(
                    f"axes: {key}", value, fix="a variable names runs: set a number or a text"
                )
    return [dict(zip(entry, values, strict=True)) for values in zip(*entry.values(), strict=True)]


def _is_variable(key: Any) -> bool:
    if not isinstance(key, str):
        raise UserError(key, fix="set the key as a text, a config's with dots")
    if key in COLUMNS:
        raise UserError(
            key, problem="is a column of the tables of every study", fix="choose another name"
        )
    if key in CONFIG_KEYS and key != SEED:
        raise UserError(key, fix=f"set its keys with dots, as {key}.…, in set, axes or arms")
    return "." not in key and key not in ("config", SEED)


def _run(
    home: Path, parts: Sequence[dict[str, Any]], naming: Sequence[str], given: Mapping[str, str]
) -> Run:
    """Make a run of its parts, the earliest first.

    Args:
        home: what files are named relative to.
        parts: the parts.
        naming: the variables that name it.
        given: what its expressions may name besides its variables.
    """
    values = _variables(parts)
    overrides = _overrides(parts)
    with_seed = {**given, **values}
    if SEED in overrides:
        with_seed["seed"] = overrides[SEED]
    filled_in = {key: filled(value, with_seed) for key, value in overrides.items()}
    configs = [(home / str(filled(file, values))).resolve() for file in _files(parts)]
    if missing := next((file for file in configs if not file.is_file()), None):
        raise UserError(
            "config",
            value=missing,
            problem="there is no such file",
            fix="they are named relative to the study's",
        )
    named_by = {key: values[key] for key in naming}
    return Run({**named_by, "seed": overrides.get(SEED, 0)}, configs, filled_in)


def _variables(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items() if _is_variable(key)}


def _overrides(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in added_up(parts).items() if "." in key or key == SEED}


def _files(parts: Sequence[dict[str, Any]]) -> list[str]:
    return [file for part in parts for file in _listed(part.get("config"))]


def _listed(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else list(files or [])


def _check_variables(
    axes: Sequence[dict[str, Any]], arms: dict[str, Any], parts: Sequence[Sequence[dict[str, Any]]]
) -> None:
    """Raise UserError for a variable that nothing uses, most likely a key without its dots.

    In axes a variable may also name what another key of its entry changes, or all runs by a single
    value; the seed alone changes nothing that it could name.
    """
    # The variables that all runs use, and those that the runs of each arm use.
    used: set[str] = set()
    used_by_arm: dict[Any, set[str]] = {arm: set() for arm in arms}
    for part in parts:
        variables = {*names(_overrides(part)), *names(_files(part))}
        used |= variables
        if arms:
            used_by_arm[_variables(part)["arm"]] |= variables

    for entry in axes:
        config_keys = [key for key in entry if not _is_variable(key) and key != SEED]
        varied = [key for key, values in entry.items() if _is_variable(key) and len(values) > 1]
        if varied and not config_keys and not {*varied} & used:
            raise UserError("axes", value=varied[0], problem=_UNUSED)
    for arm, keys in arms.items():
        for key in keys or {}:
            if _is_variable(key) and key not in used_by_arm[arm]:
                raise UserError(f"arms: {arm}", value=key, problem=_UNUSED)


_UNUSED = (
    "nothing uses this variable; compute with it in braces, or set a key of the config with its "
    "dots, as data.init_args.deficits"
)
