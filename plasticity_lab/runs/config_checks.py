"""Checks of settings before they are parsed, and of parsed ones before anything is built."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.runs.yaml_files import RepeatedKey, load_yaml, parse_yaml

SECTIONS = ("trainer", "model", "data")
"""Top-level keys that hold keys of their own."""

LARGEST = 1e9
"""No setting of a network, optimizer or schedule is larger; 1e30 is a slip."""

LARGEST_WHOLE = 2**63 - 1
"""What torch's integers hold."""


class Given(NamedTuple):
    """Settings as the user wrote them.

    Attributes:
        source: the file, or the option of the command line.
        settings: nested keys and values.
    """

    source: str
    settings: dict[str, Any]


def given_settings(args: Sequence[str]) -> list[Given]:
    """Read what a command line gives, by files and by itself, in its order.

    Args:
        args: as `command_line.find_configs` returns them.

    Raises:
        UserError: for a file that cannot be read or does not hold keys and values, or a repeated
            key.
    """
    given = []
    for option, value in pairwise([*args, ""]):
        if option in ("--config", "-c"):
            if Path(value).exists():
                given.append(Given(value, _keys_and_values(value)))
        elif option.startswith("--"):
            key, equals, joined = option.removeprefix("--").partition("=")
            given.append(Given(f"--{key}", _nested(key, _parsed(joined if equals else value, key))))
    return given


def _keys_and_values(file: str) -> dict[str, Any]:
    settings = load_yaml(Path(file))
    if settings is None:
        raise UserError(
            "config",
            value=file,
            problem="holds no keys and values",
            fix="set some, or remove it",
        )
    if not isinstance(settings, dict):
        raise UserError(
            "config",
            value=file,
            problem=f"holds {type(settings).__name__} {settings!r:.40}",
            fix="set keys and values",
        )
    return settings


def _parsed(value: str, key: str) -> Any:
    """Return a value of the command line as YAML reads it, or as text where that is none."""
    try:
        return parse_yaml(value, f"--{key}")
    except RepeatedKey:
        raise
    except UserError:
        return value


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def check_given(given: Sequence[Given]) -> None:
    """Raise UserError for sections that hold nothing, or whose class nothing has named yet.

    The parser would refuse the keys of such a class one by one, as if they were mistyped.
    """
    has_class: set[str] = set()
    for source, settings in given:
        for key in _empty(settings, ()):
            raise UserError(
                ".".join(key),
                value="null",
                fix=f"set keys and values below it (in {source}), or remove it",
            )
        for section in SECTIONS:
            if section not in settings:
                continue
            content = settings[section]
            if source == f"--{section}" and isinstance(content, str):
                has_class.add(section)
                continue
            if not isinstance(content, dict):
                raise UserError(
                    section,
                    value=_as_yaml(content),
                    problem=f"is not keys and values (in {source})",
                    fix="set some below it, or remove it",
                )
            if "class_path" in content:
                has_class.add(section)
            if section != "trainer" and content and section not in has_class:
                raise UserError(
                    section,
                    problem=f"no class_path says what the keys in {source} belong to",
                    fix="put a config that names one before it, as --config configs/digits.yaml",
                )


def _empty(node: Any, key: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the keys of `init_args` that hold nothing."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "init_args" and value is None:
                yield (*key, name)
            yield from _empty(value, (*key, str(name)))
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from _empty(item, (*key, str(number)))


def check_numbers(settings: Any) -> None:
    """Raise UserError for a number that no setting can be: NaN, infinite, or absurdly large.

    Args:
        settings: the parsed ones.
    """
    for key, value in _leaves(settings, ()):
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        name = ".".join(key)
        if not math.isfinite(value):
            raise UserError(name, _as_yaml(value), "is not a finite number", "set one")
        if abs(value) > (LARGEST_WHOLE if isinstance(value, int) else LARGEST):
            raise UserError(
                name,
                value=_as_yaml(value),
                problem="is larger than any setting can be",
                fix=f"set a number below {LARGEST:g}",
            )


def _leaves(node: Any, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield key and value of each setting.

    Classes in a list stand by name, and `init_args` is skipped.
    """
    if hasattr(node, "as_dict"):
        node = node.as_dict()
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(value, key if name == "init_args" else (*key, str(name)))
    elif isinstance(node, list | tuple):
        for number, item in enumerate(node):
            path = item.get("class_path") if hasattr(item, "get") else None
            yield from _leaves(item, (*key, str(path).rpartition(".")[2] if path else str(number)))
    else:
        yield key, node


def _as_yaml(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[str(value)]
    return "null" if value is None else str(value)


def check_length(trainer: Any) -> None:
    """Raise UserError if nothing says when the run ends.

    Lightning would then train 1,000 epochs.

    Args:
        trainer: its parsed settings.
    """
    endless = trainer.max_epochs is None and trainer.max_time is None
    if endless and trainer.max_steps in (None, -1) and not trainer.fast_dev_run:
        raise UserError(
            "trainer.max_epochs",
            value="null",
            problem="nothing says when the run ends",
            fix="set the number of epochs",
        )


class Link(NamedTuple):
    """An argument that train.py fills in.

    Attributes:
        key: its place in a config, without `init_args`.
        source: what fills it in.
        name: the argument's name there.
    """

    key: tuple[str, ...]
    source: str
    name: str


SIZES = {"in_channels": "in_channels", "num_classes": "num_outputs", "image_size": "image_size"}
"""Arguments of a network that the data fill in, with what of the data does."""

LINKS = [
    *(Link((part, "seed"), "seed_everything", "seed_everything") for part in ("model", "data")),
    *(Link(("model", "network", name), "the data", source) for name, source in SIZES.items()),
]
"""What `CLI.add_arguments_to_parser` links."""


def given_sizes(given: Sequence[Given]) -> set[str]:
    """Return the arguments in `SIZES` that the user wrote."""
    written = {key for _, settings in given for key, _ in _leaves(settings, ())}
    return {link.key[-1] for link in LINKS if link.name in SIZES.values() and link.key in written}


def check_links(given: Sequence[Given], values: Mapping[str, Any]) -> None:
    """Raise UserError for a value that differs from the seed or the data that it comes from.

    Args:
        given: what the user wrote.
        values: what the links give, by the name at their source; a link without a value is left
            alone.
    """
    for source, settings in given:
        written = dict(_leaves(settings, ()))
        for link in LINKS:
            right = values.get(link.name)
            wrong = written.get(link.key)
            if link.key in written and right is not None and wrong != right:
                raise UserError(
                    ".".join(link.key),
                    f"{_as_yaml(wrong)} (in {source})",
                    f"comes from {link.source}, where it is {right}",
                    "remove it",
                )
