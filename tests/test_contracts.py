"""The contracts of every registered class.

An identity setting is a no-op, another acts, and a resume is bitwise.
"""

import inspect
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import pytest

import callbacks
import datamodules
from callbacks import interventions
from lightning_modules import networks
from plasticity_lab.runs.parse import Config
from tests.registry import (
    DATASETS,
    DIAGNOSTICS,
    NETWORKS,
    NOT_SWITCHED,
    REGISTRY,
    RESUMED_TOGETHER,
    VARIANTS,
)
from tests.runs import BRIEF, fit, logged, pictures, resume, state, tiny

_CHECKPOINT = "pytorch_lightning.callbacks.ModelCheckpoint"


def every_kind(steps: int) -> dict[str, Any]:
    """Return what keeps checkpoints of every kind: of so many steps, of epochs and validations."""
    every = {"filename": "step{step}", "every_n_train_steps": steps, "save_top_k": -1}
    return {
        "trainer": {
            "callbacks+": [
                {"class_path": "tests.probes.StepLog"},
                {"class_path": _CHECKPOINT, "init_args": every},
                {"class_path": "tests.probes.EpochEnd"},
                {"class_path": "tests.probes.ValidationEnd"},
            ],
            "log_every_n_steps": 1,
        }
    }


EVERY_KIND = every_kind(steps=1)
FEW_OF_EVERY_KIND = every_kind(steps=3)
"""Where one or two are resumed from: most of the time would go into those that are not."""


IDENTITIES = {
    name: entry.identity for name, entry in REGISTRY.items() if entry.identity is not None
}


def test_every_exported_class_is_registered() -> None:
    exported = {*callbacks.__all__, *interventions.__all__, *datamodules.__all__, *networks.__all__}
    assert exported == {
        *(name for name in REGISTRY if name[0].isupper()),
        *NOT_SWITCHED,
        *DATASETS,
        *NETWORKS,
        *DIAGNOSTICS,
    }


def test_every_intervention_answers_four_questions() -> None:
    for name in interventions.__all__:
        kind = getattr(interventions, name)
        if not inspect.isabstract(kind):
            text = " ".join(kind.__doc__.split())
            assert "Changes:" in text, name
            assert "Keeps:" in text, name
            for question in ("parameters", "statistics", "optimizer", "clock"):
                assert question in text, f"{name}: what happens to {question}?"


OF_CALLBACKS = [
    name
    for name, fragment in IDENTITIES.items()
    if fragment.keys() == {"trainer"}
    and [node["class_path"] for node in fragment["trainer"]["callbacks+"]] == [f"callbacks.{name}"]
]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long) if name in OF_CALLBACKS else name
        for name in IDENTITIES
    ],
)
def test_identity_is_bitwise_nothing(name: str) -> None:
    """Of callbacks, which one it is, where all together are not."""
    assert state(fit(*tiny(BRIEF, IDENTITIES[name]))) == plain()


def test_identities_of_callbacks_together_are_bitwise_nothing() -> None:
    nodes = [node for name in OF_CALLBACKS for node in IDENTITIES[name]["trainer"]["callbacks+"]]
    assert len(nodes) > 20
    assert state(fit(*tiny(BRIEF, {"trainer": {"callbacks+": nodes}}))) == plain()


@cache
def plain() -> dict[str, str]:
    return state(fit(*tiny(BRIEF)))


RUNS = {
    **VARIANTS,
    **{name: entry.acting for name, entry in REGISTRY.items() if name not in RESUMED_TOGETHER},
}


class Whole(NamedTuple):
    """An unbroken run that others are resumed from.

    Attributes:
        config: of the run.
        home: its directory.
        kept: a copy of that.
        state: what it ended in.
    """

    config: Config
    home: Path
    kept: Path
    state: dict[str, str]


def whole(*fragments: dict[str, Any]) -> Whole:
    finished = fit(*tiny(BRIEF, *fragments))
    home, kept = finished.place.directory.absolute(), Path(mkdtemp(dir=Path.cwd()))
    shutil.copytree(home, kept, dirs_exist_ok=True)
    return Whole(finished.config, home, kept, state(finished))


@cache
def whole_with(name: str) -> Whole:
    """Train once for all tests of a class."""
    fragment = REGISTRY[name].acting if name in REGISTRY else VARIANTS[name]
    return whole(fragment, FEW_OF_EVERY_KIND)


@pytest.mark.parametrize("name", REGISTRY)
def test_acting_changes_weights(name: str) -> None:
    part = "weights and buffers"
    assert whole_with(name).state[part] != whole_with("fp32").state[part]


EVERYDAY = [
    "plateau",
    "SAM",
    "DirectFeedbackAlignment",
    "streaming",
    "Blur",
    "stages that end the run",
    "LayerReset",
    "WeightDecaySchedule",
    "Rewind",
    "everything at once",
]


@pytest.mark.parametrize("name", EVERYDAY)
def test_resume_is_bitwise_with(name: str) -> None:
    """From one checkpoint, another for each; the slow test takes all of all classes."""
    check_resumes_of(whole_with(name), every=99, first=list(RUNS).index(name) % 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_resume_is_bitwise_from_every_kind_of_checkpoint_with(name: str) -> None:
    """Each class from one of another kind, by turns; all at once from all of them."""
    if name == "everything at once":
        check_resumes(RUNS[name], EVERY_KIND)
    else:
        check_resumes_of(whole_with(name), turn=list(RUNS).index(name))


def check_resumes(*fragments: dict[str, Any], **which: Any) -> None:
    check_resumes_of(whole(*fragments), **which)


def check_resumes_of(
    unbroken: Whole,
    every: int = 1,
    first: int = 0,
    only: str = "",
    turn: int | None = None,
) -> None:
    config, home, kept, ended_in = unbroken
    kinds = sorted(file.name for file in (kept / "checkpoints").glob("*.ckpt"))
    assert {name[:4] for name in kinds} >= {"step", "epoc", "last"}
    if turn is not None:
        prefixes = sorted({name[:4] for name in kinds} - {"last"})
        alike = [name for name in kinds if name.startswith(prefixes[turn % len(prefixes)])]
        only = alike[len(alike) // 2]
    for kind in [only] if only else kinds[first::every]:
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        resumed = resume(config, home / "checkpoints" / kind)
        assert resumed.place.directory.absolute() == home, "went on in another directory"
        assert state(resumed) == ended_in, kind
        assert logged(home) == logged(kept), kind
        assert pictures(home) == pictures(kept), kind
