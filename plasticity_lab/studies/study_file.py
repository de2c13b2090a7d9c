"""A study's YAML file, and the runs it names."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.runs.yaml_files import load_yaml
from plasticity_lab.studies.selection import (
    SELECTION,
    Choice,
    Selection,
    check_selection,
    read_selection,
)
from plasticity_lab.studies.study_axes import (
    check_seeds_of_selection,
    check_variables,
    choices,
    with_draws,
)
from plasticity_lab.studies.study_parts import SEED, is_variable
from plasticity_lab.studies.study_run import LONGEST_NAME, Run, make_run

KEYS = {"name", "config", "axes", "arms", "set", "pretraining", "select", "report", "claims"}

PRETRAINED = "pretrained"
"""Stands in braces for the weights that a run begins from; see `pretraining`."""


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
        check_seeds_of_selection(axes, arms, common)
    if seeds is not None:
        axes = [*(entry for entry in axes if SEED not in entry), {SEED: list(seeds)}]
    axes = [with_draws(entry, number) for number, entry in enumerate(axes)]
    crossed = [choices(entry, number) for number, entry in enumerate(axes)]
    if variable := next((key for key in common if is_variable(key)), None):
        raise UserError(
            "set",
            value=variable,
            problem="is no key of a config, as data.init_args.batch_size",
            fix="variables stand in axes",
        )

    # The variables that name a run.
    naming = ["arm"] if arms else []
    for entry in axes:
        naming += [key for key in entry if is_variable(key)]

    # Later parts override earlier ones: set, axes, arms, and the files on top.
    first = {"config": content.get("config") or [], **common}
    last = {"config": [str(path) for path in config]}
    groups = [_arm(arm, keys) for arm, keys in arms.items()] or [{}]
    parts = [
        [first, *chosen, arm, last] for arm in groups for chosen in itertools.product(*crossed)
    ]
    pretraining = _pretraining(file, content)
    given = {PRETRAINED: f"{{{PRETRAINED}}}"} if pretraining else {}
    runs = [make_run(file.parent, part, naming, given) for part in parts]

    counts = Counter(run.name for run in runs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UserError(
            "axes",
            value=twice[0],
            problem="stands for several runs",
            fix="give every entry of axes a variable that names its values",
        )
    check_variables(axes, arms, parts)
    report = _of_kind(content, "report", dict)
    claims = _of_kind(content, "claims", list)
    study = Study(str(content["name"]), runs, report, claims, file, config, pretraining=pretraining)
    if "select" not in content:
        return study
    selection = read_selection(content["select"], report.get("over", "last epoch"))
    if seeds is None:
        entries = [[key for key in entry if is_variable(key)] for entry in axes]
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
