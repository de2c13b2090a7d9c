"""The axes of a study: values that are crossed, and the variables that name them."""

from collections.abc import Mapping, Sequence
from typing import Any

from plasticity_lab.errors import UserError
from plasticity_lab.studies.expressions import names
from plasticity_lab.studies.random_search import drawn
from plasticity_lab.studies.study_parts import SEED, config_files, is_variable, overrides, variables

_UNUSED = (
    "nothing uses this variable; compute with it in braces, or set a key of the config with its "
    "dots, as data.init_args.deficits"
)


def with_draws(entry: Any, number: int) -> Any:
    """Return an entry of axes with values in place of distributions."""
    if not isinstance(entry, dict):
        return entry
    if any(isinstance(values, dict) for values in entry.values()) and SEED in entry:
        raise UserError(f"axes: entry {number}", problem="seeds are crossed with what is drawn")
    return {
        key: drawn(str(key), values) if isinstance(values, dict) else values
        for key, values in entry.items()
    }


def choices(entry: dict[str, list[Any]], number: int) -> list[dict[str, Any]]:
    """Return the keys and values of each place of an entry of axes.

    Raises:
        UserError: for values of unequal number, and variables that are no number or text.
    """
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
        if not is_variable(key):
            continue
        for value in values:
            if value is not None and not isinstance(value, str | int | float):
                raise UserError(
                    f"axes: {key}", value, fix="a variable names runs: set a number or a text"
                )
    return [dict(zip(entry, values, strict=True)) for values in zip(*entry.values(), strict=True)]


def check_seeds_of_selection(
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


def check_variables(
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
        named = {*names(overrides(part)), *names(config_files(part))}
        used |= named
        if arms:
            used_by_arm[variables(part)["arm"]] |= named

    for entry in axes:
        config_keys = [key for key in entry if not is_variable(key) and key != SEED]
        varied = [key for key, values in entry.items() if is_variable(key) and len(values) > 1]
        if varied and not config_keys and not {*varied} & used:
            raise UserError("axes", value=varied[0], problem=_UNUSED)
    for arm, keys in arms.items():
        for key in keys or {}:
            if is_variable(key) and key not in used_by_arm[arm]:
                raise UserError(f"arms: {arm}", value=key, problem=_UNUSED)
