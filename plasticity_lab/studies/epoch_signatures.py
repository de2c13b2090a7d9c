"""Compute a signature for each epoch of a run.

Runs with equal signatures up to an epoch share its training.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

from jsonargparse import ArgumentParser

from plasticity_lab.runs.type_hints import class_of
from plasticity_lab.schedule import RunSchedule, Timed
from plasticity_lab.studies.classes import class_paths, is_timed, why_not_shareable
from plasticity_lab.studies.plan import EpochSignatures, as_json

IGNORED_TRAINER_KEYS = {
    "logger",
    "default_root_dir",
    "enable_progress_bar",
    "enable_model_summary",
    "enable_checkpointing",
    "profiler",
}
"""Trainer options that cannot change results; all others are part of the signature."""

ENDS_EARLY = ("max_steps", "max_time", "min_steps", "min_epochs", "fast_dev_run", "overfit_batches")
"""Trainer options that can end a run or an epoch early; such runs are never shared."""


def epoch_signatures(config: dict[str, Any], code: Callable[[Any], str]) -> EpochSignatures:
    """Take a resolved config apart into what is constant and what is active in each epoch.

    A run is compared by parts only if every class in it is known to be a function of its arguments
    and of what is active; see `classes.why_not_shareable`. Any other class makes the whole config,
    `max_epochs` included, one constant.

    The code of a class that acts over time counts from where it is active: before that, the run
    equals one without it.

    Args:
        config: resolved.
        code: returns the hash of the code that belongs to a part of the config; see
            `code_hashes.CodeHashes`.
    """
    trainer = config["trainer"]
    count = trainer["max_epochs"] or 0
    compared = {key: value for key, value in trainer.items() if key not in IGNORED_TRAINER_KEYS}

    # A run that shares nothing is one constant.
    not_shareable_because = _why_not_shareable(config, compared)
    if not_shareable_because:
        run_config = {**config, "trainer": compared}
        parts: list[_Part] = []
        _take_out(run_config, parts, lambda nest: "")
        return EpochSignatures(
            static_config=run_config,
            code=code(run_config),
            epochs=["whole run"] * max(count, 1),
            not_shareable_because=not_shareable_because,
            may_end_early=_may_end_early(parts),
        )

    # The parts that act over time, and everything else, which is constant.
    del compared["max_epochs"]
    compared["callbacks"] = compared.get("callbacks") or None
    parts = []
    static_config = _take_out({**config, "trainer": compared}, parts, code)

    # What is active in each epoch.
    signatures = []
    schedule = RunSchedule([part.timed for part in parts], count)
    for before, now, stages_known in schedule.epoch_starts():
        said = [
            part.signature(schedule.signature(part.timed, before, now, stages_known))
            for part in parts
        ]
        signatures.append(as_json([entry for entry in said if entry is not None]))
    return EpochSignatures(
        static_config=static_config,
        code=code(static_config),
        epochs=signatures,
        not_shareable_because="",
        may_end_early=_may_end_early(parts),
    )


class _Part(NamedTuple):
    """A part of a run that acts over time.

    Attributes:
        node: the config it is made from.
        timed: the object.
        code: the hash of its code.
        place: where in the config it stands, among what does not act over time.
    """

    node: dict[str, Any]
    timed: Timed
    code: str
    place: str

    @property
    def without_times(self) -> list[Any]:
        """What it is wherever it is active."""
        return [*self._identity, self.timed.at_all_times, self.code]

    @property
    def _identity(self) -> list[Any]:
        """Class and arguments, as the config has them: a text of an object may leave some out."""
        told = {*self.timed.times_given, *self.timed.answered_given}
        given = (self.node.get("init_args") or {}).items()
        arguments = {key: value for key, value in given if value is not None and key not in told}
        return [self.node["class_path"], arguments]

    def signature(self, said: str | None) -> list[Any] | None:
        """Return what is active, with class and arguments: two may say the same of themselves."""
        return None if said is None else [self.place, *self._identity, said, self.code]


def _take_out(nest: Any, parts: list[_Part], code: Callable[[Any], str], place: str = "") -> Any:
    """Return a config without what acts over time, which is added to a list.

    Args:
        nest: the config, or a part of it.
        parts: what has been found so far.
        code: returns the hash of the code that belongs to a part of the config.
        place: where in the config it stands.
    """
    if is_timed(nest):
        parts.append(_Part(nest, instantiate(nest, Timed), code(nest), place))
        return None
    if isinstance(nest, list):
        kept: list[Any] = []
        for part in nest:
            value = _take_out(part, parts, code, f"{place}[{len(kept)}]")
            if not is_timed(part):
                kept.append(value)
        return kept or None if len(kept) < len(nest) else kept
    if not isinstance(nest, dict):
        return nest
    found = len(parts)
    static = {key: _take_out(value, parts, code, f"{place}.{key}") for key, value in nest.items()}
    for key in _empty_lists_of_timed(nest):
        static["init_args"][key] = None
    return static | _always(nest, parts[found:], place)


def _empty_lists_of_timed(node: dict[str, Any]) -> list[str]:
    """Return the arguments of a class that are lists of what acts over time, and are empty.

    They are as good as none.
    """
    empty = [key for key, value in (node.get("init_args") or {}).items() if value == []]
    hints = get_type_hints(class_of(node["class_path"]).__init__) if empty else {}
    return [key for key in empty if _names_timed(hints.get(key))]


def _names_timed(hint: Any) -> bool:
    if isinstance(hint, type):
        return issubclass(hint, Timed)
    return any(map(_names_timed, get_args(hint)))


def _always(node: dict[str, Any], parts: Sequence[_Part], place: str) -> dict[str, Any]:
    """Return what of the parts of a class matters at all times, whenever they are active.

    Args:
        node: the config of the class.
        parts: what acts over time in it.
        place: where the class stands.
    """
    kind = class_of(node["class_path"]) if isinstance(node.get("class_path"), str) else None
    names = getattr(kind, "always_matters", lambda arguments: ())(node.get("init_args") or {})
    places = tuple(f"{place}.init_args.{name}" for name in names)
    matter = [part.without_times for part in parts if part.place.startswith(places)]
    return {"always": matter} if places else {}


def _may_end_early(parts: Sequence[_Part]) -> bool:
    return any(part.timed.may_end_run for part in parts)


def _why_not_shareable(config: dict[str, Any], trainer: dict[str, Any]) -> str:
    if not (trainer["max_epochs"] or 0) > 0:
        return f"max_epochs: {trainer['max_epochs']}: the number of epochs is not known"
    for key in ENDS_EARLY:
        if trainer.get(key) not in (None, False, -1, 0, 0.0):
            return f"trainer.{key}: {trainer[key]}: is not a matter of epochs"
    for path in class_paths({**config, "trainer": trainer}):
        if reason := why_not_shareable(path):
            return f"{path}: {reason}"
    return ""


def instantiate(node: dict[str, Any], kind: type) -> Any:
    """Return the object that a class path with its arguments stands for."""
    # Keys are not sorted: levels keep their order.
    return _cached(json.dumps(node), kind)


@cache
def _cached(node: str, kind: type) -> Any:
    parser = ArgumentParser()
    parser.add_argument("--instance", type=kind)
    return parser.instantiate(parser.parse_object({"instance": json.loads(node)})).instance
