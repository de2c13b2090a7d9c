"""What of a study is chosen on validation before the study itself is run: its `select` key."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.studies.metrics import read_over

KEYS = ("on", "over", "seeds", "read", "best")
BEST = ("highest", "lowest")

SELECTION = "-selection"
"""End of the name of a study that chooses coefficients for another."""


class Selection(NamedTuple):
    """How coefficients are chosen.

    Every combination of the variables is trained with the selection's seeds. Of each arm (the runs
    that differ in these variables and the seed only) the one with the best mean is chosen, and only
    that is trained with the study's own seeds and reported.

    In YAML:

    ```yaml
    axes:
      - shrink: [0.2, 0.4, 0.6, 0.8]
      - seed_everything: [0, 1, 2, 3, 4]
    select: {on: val/accuracy, over: [shrink], seeds: [100, 101]}
    ```

    Attributes:
        metric: what is compared (`on`): a tag of the runs' logs, measured on no test image.
        variables: that are chosen (`over`).
        seeds: which the candidates are trained with; none of them is one of the study's.
        read: how the metric's values over time become one, by default as the report's `over`.
        best: `highest` or `lowest`; by default `highest` of an accuracy, `lowest` of a loss.
    """

    metric: str
    variables: tuple[str, ...]
    seeds: tuple[int, ...]
    read: str
    best: str


class Choice(NamedTuple):
    """What is chosen for an arm.

    Attributes:
        arm: the variables of the arm, and their values.
        chosen: the chosen variables, and their values.
        mean: of the metric, over the selection's seeds.
        candidates: how many there were.
        failed: how many of them had no value, as a run of theirs failed.
    """

    arm: dict[str, Any]
    chosen: dict[str, Any]
    mean: float
    candidates: int
    failed: int


def read_selection(entry: Any, default_read: str) -> Selection:
    """Return a selection from a study's file.

    Args:
        entry: what stands below `select`.
        default_read: the report's `over`.

    Raises:
        UserError: for a key that a selection does not have, or lacks.
    """
    if not isinstance(entry, dict):
        raise UserError("select", value=entry, fix="set on, over and seeds")
    # YAML 1.1 takes a bare `on` for true.
    entry = {"on" if key is True else key: value for key, value in entry.items()}
    if unknown := [key for key in entry if key not in KEYS]:
        raise UserError(
            "select",
            value=unknown[0],
            problem="a selection has no such key",
            fix=f"it has {', '.join(KEYS)}",
        )
    if missing := [key for key in KEYS[:3] if not entry.get(key)]:
        raise UserError("select", value=missing[0], problem="a selection needs it")
    metric, variables, seeds = entry["on"], entry["over"], entry["seeds"]
    if not isinstance(metric, str):
        raise UserError("select: on", value=metric, fix="set a metric such as val/accuracy")
    if metric.startswith("test/"):
        raise UserError(
            "select: on",
            value=metric,
            problem="coefficients are not chosen on the test split",
            fix="set a metric such as val/accuracy",
        )
    for key, values in (("over", variables), ("seeds", seeds)):
        if not isinstance(values, list):
            raise UserError(f"select: {key}", value=values, fix="set a list")
    if wrong := [seed for seed in seeds if type(seed) is not int]:
        raise UserError("select: seeds", value=wrong[0], fix="set whole numbers")
    if len(set(seeds)) < len(seeds):
        raise UserError("select: seeds", value=seeds, fix="name each once")
    read = entry.get("read", default_read)
    read_over(read, "select: read")
    return Selection(metric, tuple(variables), tuple(seeds), read, _best(entry))


def _best(entry: Mapping[str, Any]) -> str:
    defaults = {"accuracy": "highest", "loss": "lowest"}
    best = entry.get("best", defaults.get(entry["on"].rpartition("/")[2]))
    if best not in BEST:
        raise UserError("select: best", value=best, fix=f"set {' or '.join(BEST)}")
    return str(best)


def check_selection(
    selection: Selection,
    entries: Sequence[Sequence[str]],
    seeds: Sequence[Any],
    report: Mapping[str, Any],
) -> None:
    """Raise UserError for a selection that does not fit its study.

    Args:
        selection: the selection.
        entries: the variables of each entry of the study's axes.
        seeds: of the study.
        report: how the study is reported.
    """
    variables = [name for entry in entries for name in entry]
    for name in selection.variables:
        if name not in variables:
            raise UserError(
                "select: over",
                value=name,
                problem="is no variable of axes",
                fix=f"they have {', '.join(variables) or 'none'}",
            )
    chosen = {*selection.variables}
    for entry in entries:
        if chosen & {*entry} and not {*entry} <= chosen:
            (left, *_) = (name for name in entry if name not in chosen)
            raise UserError(
                "select: over",
                value=", ".join(selection.variables),
                problem=f"{left} moves together with what is chosen",
                fix=f"add {left}, or give it an entry of its own",
            )
    if common := sorted({*selection.seeds} & {*seeds}):
        raise UserError(
            "select: seeds",
            value=common[0],
            problem="is a seed of the study, whose numbers would be chosen by themselves",
            fix="choose with other seeds",
        )
    for key in ("x", "hue"):
        if report.get(key) in selection.variables:
            raise UserError(
                f"report: {key}",
                value=report[key],
                problem="is chosen for each arm",
                fix="remove it from select, or report another variable",
            )


def choose(
    selection: Selection,
    candidates: Sequence[Mapping[str, Any]],
    values: Sequence[float | None],
) -> list[Choice]:
    """Return the best candidate of each arm; of equal ones the first.

    Args:
        selection: how they are compared.
        candidates: the variables of each trained run, with its `seed`.
        values: of each run what it is compared by; None or NaN if it has failed.

    Raises:
        UserError: for an arm all of whose candidates have failed.
    """
    # The values of each candidate of each arm, over its seeds.
    arms: dict[str, dict[str, list[float | None]]] = {}
    named: dict[str, dict[str, Any]] = {}
    for variables, value in zip(candidates, values, strict=True):
        chosen = {name: variables[name] for name in selection.variables}
        arm = {name: value for name, value in variables.items() if name not in {*chosen, "seed"}}
        named[str(arm)], named[str(chosen)] = arm, chosen
        arms.setdefault(str(arm), {}).setdefault(str(chosen), []).append(value)

    choices = []
    sign = 1 if selection.best == "highest" else -1
    for arm_name, of_candidates in arms.items():
        means = {name: _mean(of_seeds) for name, of_seeds in of_candidates.items()}
        usable = {name: mean for name, mean in means.items() if mean is not None}
        if not usable:
            raise UserError(
                "select",
                value=arm_name,
                problem=f"all {len(means)} candidates have failed",
                fix="choose other values",
            )
        best = max(usable, key=lambda name: sign * usable[name])
        choices.append(
            Choice(
                arm=named[arm_name],
                chosen=named[best],
                mean=usable[best],
                candidates=len(means),
                failed=len(means) - len(usable),
            )
        )
    return choices


def _mean(values: Sequence[float | None]) -> float | None:
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    return sum(value or 0.0 for value in values) / len(values)
