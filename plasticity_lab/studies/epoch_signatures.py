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
"""Trainer options that cannot change results; all others are part of the signature."""

ENDS_EARLY = ("max_steps", "max_time", "min_steps", "min_epochs", "fast_dev_run", "overfit_batches")
"""Trainer options that can end a run or an epoch early; such runs are never shared."""


class EpochSignatures(NamedTuple):
    """A run, as far as it can be compared with others.

    Attributes:
        static_part: what is the same in all epochs, as JSON.
        epochs: what else is active in each epoch, as JSON.
        not_shareable_because: why it shares no part of itself with others, "" if it does.
    """

    static_part: str
    epochs: list[str]
    not_shareable_because: str


def epoch_signatures(config: dict[str, Any], code: Callable[[Any], str]) -> EpochSignatures:
    """Take a resolved config apart into what is constant and what is active in each epoch.

    A run is compared by parts only if every class in it is known to be a function of its arguments
    and of what is active. That is so for this project's and torch's classes; one of your own
    declares it by a method `in_force(epoch) -> str | None` in its own body (never inherited), which
    training must follow: where it returns None, the class does nothing and logs nothing. Any other
    class makes the whole config, `max_epochs` included, one constant.

    The code of a class that acts over time counts from where it is active: before that, the run
    equals one without it.

    Args:
        config: resolved.
        code: returns the hash of the code that belongs to a part of the config; see
            `code_hashes.CodeHashes`.
    """
    trainer = config["trainer"]
    data = config["data"].get("init_args") or {}
    count = trainer["max_epochs"] or 0
    compared = {key: value for key, value in trainer.items() if key not in IGNORED_TRAINER_KEYS}

    # A run that shares nothing is one constant.
    not_shareable_because = _why_not_shareable(config, compared)
    if not_shareable_because:
        run_config = {**config, "trainer": compared}
        static_part = _json([run_config, code(run_config)])
        return EpochSignatures(static_part, ["whole run"] * max(count, 1), not_shareable_because)

    # The parts that act over time.
    callbacks = _listed(trainer["callbacks"])
    growth = instantiate(data["growth"], Growth) if data.get("growth") else None
    deficits = [
        _Part(node, instantiate(node, Deficit), code(node))
        for node in _listed(data.get("deficits"))
    ]
    parts = [*deficits, *_timed_callbacks(callbacks, code)]
    if growth:
        parts.insert(0, _Part(data["growth"], growth, code(data["growth"])))
    window = None
    if data.get("augmentation_during"):
        window = Window(*map(Time, data["augmentation_during"]))

    # Everything else is constant.
    del compared["max_epochs"]
    compared["callbacks"] = [node for node in callbacks if not is_timed(node)]
    timed_keys = ("growth", "deficits", "augmentation_during")
    constant_data = {key: value for key, value in data.items() if key not in timed_keys}
    if data.get("also_evaluate_with_deficit"):
        constant_data["evaluated with"] = [[part.name(), part.code] for part in deficits]
    static_config = {
        **config,
        "trainer": compared,
        "data": {**config["data"], "init_args": constant_data},
    }
    static_part = _json([static_config, code(static_config)])

    # What is active in each epoch.
    signatures = []
    for epoch in epochs(growth, count):
        augmented = window.in_force(epoch) if window else True
        active = [part.signature(epoch) for part in parts]
        signatures.append(_json([augmented, *(entry for entry in active if entry is not None)]))
    return EpochSignatures(static_part, signatures, "")


class _Part(NamedTuple):
    """A part of a run that acts over time.

    Attributes:
        node: the config it is made from.
        instance: the object.
        code: the hash of its code.
        place: how many untimed callbacks act before it.
    """

    node: dict[str, Any]
    instance: Any
    code: str
    place: int = 0

    def name(self) -> Any:
        """Return what distinguishes it, without its times where the class is ours."""
        if is_builtin(self.node["class_path"]):
            return repr(self.instance)
        return self.node

    def signature(self, epoch: Epoch) -> list[Any] | None:
        """Return what is active, with the name of a class that is not ours.

        Two such classes may have equal values of different meaning.
        """
        active = self.instance.in_force(epoch)
        if active is None:
            return None
        if is_builtin(self.node["class_path"]):
            return [self.place, active, self.code]
        return [self.place, self.name(), active, self.code]


def _timed_callbacks(nodes: list[dict[str, Any]], code: Callable[[Any], str]) -> Iterator[_Part]:
    untimed = 0
    for node in nodes:
        if is_timed(node):
            yield _Part(node, instantiate(node), code(node), untimed)
        else:
            untimed += 1


def epochs(growth: Any, count: int) -> Iterator[Epoch]:
    """Yield the epochs of a run as far as they are known before it."""
    stages_known = growth is None or growth.until is None
    stages = [0] * count
    if growth and stages_known:
        stages = [growth.stage(number, count) for number in range(count)]
    before: Position | None = None
    for number, stage in enumerate(stages):
        now = Position(number, 0, stage)
        yield Epoch(before, now, count, stages_known, in_last_stage=stage == stages[-1])
        before = now


def may_end_early(config: dict[str, Any]) -> bool:
    """Whether a run's number of epochs is only a limit: its last stage waits for the network."""
    node = (config["data"].get("init_args") or {}).get("growth")
    until = instantiate(node, Growth).until if node else None
    return until is not None and not until.to_the_cap


def _why_not_shareable(config: dict[str, Any], trainer: dict[str, Any]) -> str:
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
    # Keys are not sorted: levels keep their order.
    return _cached(json.dumps(node), kind)


@cache
def _cached(node: str, kind: type) -> Any:
    parser = ArgumentParser()
    parser.add_argument("--instance", type=kind)
    return parser.instantiate(parser.parse_object({"instance": json.loads(node)})).instance


def _listed(nodes: Any) -> list[dict[str, Any]]:
    return [nodes] if isinstance(nodes, dict) else list(nodes or [])


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
