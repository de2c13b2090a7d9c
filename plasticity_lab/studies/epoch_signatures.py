"""Compute a signature for each epoch of a run.

Runs with equal signatures up to an epoch share its training.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser
from pytorch_lightning import Callback

from datamodules import Deficit, Growth
from plasticity_lab.studies.classes import (
    class_paths,
    is_builtin,
    is_shareable,
    is_timed,
    user_code_hashes,
)
from plasticity_lab.timing import Epoch, Position, Time, Window

IGNORED_TRAINER_KEYS = {
    "logger",
    "default_root_dir",
    "enable_progress_bar",
    "enable_model_summary",
    "enable_checkpointing",
    "profiler",
}
"""Keys of the trainer that make no number of a run another; every other one is compared."""

ENDS_EARLY = ("max_steps", "max_time", "min_steps", "min_epochs", "fast_dev_run", "overfit_batches")
"""Keys of the trainer that let a run end, or an epoch be, otherwise than its epochs say."""


class EpochSignatures(NamedTuple):
    """A run, as far as it can be compared with others.

    Attributes:
        constant: what it is in all epochs, as JSON.
        epochs: what else is active in each epoch, as JSON.
        alone: why it shares no part of itself with others, "" if it does.
    """

    constant: str
    epochs: list[str]
    alone: str


def epoch_signatures(config: dict[str, Any], code: Callable[[Any], str]) -> EpochSignatures:
    """Take a resolved config apart into what is constant and what is active in each epoch.

    A run is compared by parts only if every class in it is known to be a function of its arguments
    and of what is active. That is so for this project's and torch's classes; one of your own says
    so by a method `in_force(epoch) -> str | None` in its own body (never inherited), which training
    must follow: where it returns None, the class does nothing and logs nothing. Any other makes the
    whole config, `max_epochs` included, one constant.

    The code of what acts over time counts where that is active: before, a run is the one that
    does not name it.

    Args:
        config: resolved.
        code: returns the hash of the code that belongs to a part of the config; see
            `code_hashes.CodeHashes`.
    """
    trainer, data = config["trainer"], config["data"].get("init_args") or {}
    count = trainer["max_epochs"] or 0
    compared = {key: value for key, value in trainer.items() if key not in IGNORED_TRAINER_KEYS}
    alone = _why_alone(config, compared)
    if alone:
        whole = {**config, "trainer": compared}
        return EpochSignatures(
            _json([whole, code(whole), *user_code_hashes(whole)]),
            ["whole run"] * max(count, 1),
            alone,
        )
    del compared["max_epochs"]
    callbacks = _listed(trainer["callbacks"])
    compared["callbacks"] = [node for node in callbacks if not is_timed(node)]
    growth = instantiate(data["growth"], Growth) if data.get("growth") else None
    deficits = [
        _Part(node, instantiate(node, Deficit), code(node))
        for node in _listed(data.get("deficits"))
    ]
    parts = [*deficits, *_timed_callbacks(callbacks, code)]
    if growth:
        parts.insert(0, _Part(data["growth"], growth, code(data["growth"])))
    window = (
        Window(*map(Time, data["augmentation_during"])) if data.get("augmentation_during") else None
    )
    constant_data = {
        key: value
        for key, value in data.items()
        if key not in ("growth", "deficits", "augmentation_during")
    }
    if data.get("also_evaluate_with_deficit"):
        constant_data["evaluated with"] = [[part.name(), part.code] for part in deficits]
    constant = {
        **config,
        "trainer": compared,
        "data": {**config["data"], "init_args": constant_data},
    }
    in_force = []
    for epoch in epochs(growth, count):
        said = [part.said(epoch) for part in parts]
        augmented = window.in_force(epoch) if window else True
        in_force.append(_json([augmented, *(one for one in said if one is not None)]))
    return EpochSignatures(
        _json([constant, code(constant), *user_code_hashes(constant)]), in_force, ""
    )


class _Part(NamedTuple):
    """What acts over time.

    Attributes:
        node: the config it is made from.
        one: the object.
        code: the hash of its code.
        place: how many untimed callbacks act before it.
    """

    node: dict[str, Any]
    one: Any
    code: str
    place: int = 0

    def name(self) -> Any:
        """Return what tells it from others, times apart as far as the class is ours."""
        return (
            repr(self.one)
            if is_builtin(self.node["class_path"])
            else [self.node, *user_code_hashes(self.node)]
        )

    def said(self, epoch: Epoch) -> list[Any] | None:
        """Return what is active, with the name of a class that is not ours.

        Two such classes may have equal values of different meaning.
        """
        in_force = self.one.in_force(epoch)
        if in_force is None:
            return None
        name = [] if is_builtin(self.node["class_path"]) else [self.name()]
        return [self.place, *name, in_force, self.code]


def _timed_callbacks(nodes: list[dict[str, Any]], code: Callable[[Any], str]) -> Iterator[_Part]:
    untimed = 0
    for node in nodes:
        if is_timed(node):
            yield _Part(node, instantiate(node), code(node), untimed)
        else:
            untimed += 1


def epochs(growth: Any, count: int) -> Iterator[Epoch]:
    """Yield the epochs of a run as far as they are known before it."""
    known, before = growth is None or growth.until is None, None
    last = growth.stage(count - 1, count) if growth and known else 0
    for number in range(count):
        now = Position(number, 0, growth.stage(number, count) if growth and known else 0)
        yield Epoch(before, now, count, known, now.stage == last)
        before = now


def may_end_early(config: dict[str, Any]) -> bool:
    """Whether a run's number of epochs is only a limit: its last stage waits for the network."""
    node = (config["data"].get("init_args") or {}).get("growth")
    until = instantiate(node, Growth).until if node else None
    return until is not None and not until.to_the_cap


def _why_alone(config: dict[str, Any], trainer: dict[str, Any]) -> str:
    if not (trainer["max_epochs"] or 0) > 0:
        return f"max_epochs: {trainer['max_epochs']}: the number of epochs is not known"
    for key in ENDS_EARLY:
        if trainer.get(key) not in (None, False, -1, 0, 0.0):
            return f"trainer.{key}: {trainer[key]}: is not a matter of epochs"
    unknown = [
        path for path in class_paths({**config, "trainer": trainer}) if not is_shareable(path)
    ]
    return f"{unknown[0]}: does not declare what is active when (in_force)" if unknown else ""


def instantiate(node: dict[str, Any], kind: type = Callback) -> Any:
    """Return the object that a class path with its arguments stands for."""
    return _cached(json.dumps(node), kind)  # levels keep their order


@cache
def _cached(node: str, kind: type) -> Any:
    parser = ArgumentParser()
    parser.add_argument("--one", type=kind)
    return parser.instantiate(parser.parse_object({"one": json.loads(node)})).one


def _listed(nodes: Any) -> list[dict[str, Any]]:
    return [nodes] if isinstance(nodes, dict) else list(nodes or [])


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
