"""The contracts of every registered class: doing nothing is nothing, acting acts, and a resume is bitwise."""

import inspect
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import callbacks
import datamodules
from callbacks import interventions
from lightning_modules import networks
from tests.registry import DATASETS, NETWORKS, NOT_SWITCHED, REGISTRY, VARIANTS
from tests.runs import REPOSITORY, fit, logged, pictures, state, tiny

_CHECKPOINT = "pytorch_lightning.callbacks.ModelCheckpoint"
EVERY_KIND: dict[str, Any] = {
    "trainer": {
        "callbacks+": [
            {"class_path": "tests.probes.StepLog"},
            {"class_path": _CHECKPOINT, "init_args": {"filename": "step{step}", "every_n_train_steps": 1, "save_top_k": -1}},
            {"class_path": "tests.probes.EpochEnd"},
            {"class_path": "tests.probes.ValidationEnd"},
        ],
        "log_every_n_steps": 1,
    }
}


def test_every_exported_class_is_registered() -> None:
    exported = {*callbacks.__all__, *datamodules.__all__, *networks.__all__}
    assert exported == {*(name for name in REGISTRY if name[0].isupper()), *NOT_SWITCHED, *DATASETS, *NETWORKS}


def test_every_intervention_stands_in_the_readme_and_answers_four_questions() -> None:
    rows = (REPOSITORY / "README.md").read_text().split("| interventions |")[1].split("\n| networks |")[0]
    for name in interventions.__all__:
        kind = getattr(interventions, name)
        if not inspect.isabstract(kind):
            assert f"`{name}`" in rows, name
            text = " ".join(kind.__doc__.split())
            assert "Changes:" in text, name
            assert "Keeps:" in text, name
            for question in ("parameters", "statistics", "optimizer", "clock"):
                assert question in text, f"{name}: what happens to {question}?"


@pytest.mark.parametrize("name", REGISTRY)
def test_identity_is_bitwise_nothing(name: str) -> None:
    assert state(fit(*tiny(REGISTRY[name].identity))) == plain()


@pytest.mark.parametrize("name", REGISTRY)
def test_acting_changes_weights(name: str) -> None:
    assert state(fit(*tiny(REGISTRY[name].acting)))["weights and buffers"] != plain()["weights and buffers"]


@cache
def plain() -> dict[str, str]:
    return state(fit(*tiny()))


@pytest.mark.parametrize("variant", VARIANTS)
def test_resume_is_bitwise_from_every_kind_of_checkpoint(variant: str) -> None:
    check_every_resume(VARIANTS[variant], EVERY_KIND)


@pytest.mark.parametrize("name", REGISTRY)
def test_resume_is_bitwise_with(name: str) -> None:
    """From a quarter of the checkpoints, another one for each class."""
    check_every_resume(REGISTRY[name].acting, EVERY_KIND, quarter=list(REGISTRY).index(name) % 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", REGISTRY)
def test_resume_is_bitwise_from_every_kind_of_checkpoint_with(name: str) -> None:
    check_every_resume(REGISTRY[name].acting, EVERY_KIND)


def check_every_resume(*fragments: dict[str, Any], quarter: int | None = None) -> None:
    whole = fit(*tiny(*fragments))
    home, kept = whole.place.directory, Path("kept")
    shutil.copytree(home, kept)
    kinds = sorted(file.name for file in (kept / "checkpoints").glob("*.ckpt"))
    assert {name[:4] for name in kinds} >= {"step", "epoc", "last"}
    for kind in kinds if quarter is None else kinds[quarter::4]:
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        resumed = fit(*tiny(*fragments), "--ckpt_path", str(home / "checkpoints" / kind))
        assert resumed.place.directory == home, "went on in another directory"
        assert state(resumed) == state(whole), kind
        assert logged(home) == logged(kept), kind
        assert pictures(home) == pictures(kept), kind
