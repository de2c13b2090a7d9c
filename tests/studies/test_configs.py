"""Every study that ships."""

import importlib
import inspect
from collections.abc import Iterator, ValuesView
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import yaml

from datamodules import ImageDataset
from datamodules.datasets.split import Split, TensorSplit
from plasticity_lab.studies.open_study import open_provisional, open_study
from plasticity_lab.studies.plan import EmptyStore, segments
from plasticity_lab.studies.readings import check_claims
from plasticity_lab.studies.selection import SELECTION
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.study_parts import SEED
from tests.runs import REPOSITORY, fit

FILES = sorted((REPOSITORY / "configs/studies").glob("*.yaml"))


class Grey(ImageDataset):
    """50,000 and 10,000 images of nothing, which take no memory.

    Args:
        classes: how many classes they have.
        subset: as `ImageDataset`.
        tests: how many images the test split has.
    """

    def __init__(self, classes: int = 10, subset: int | None = None, tests: int = 10_000) -> None:
        super().__init__(subset)
        self.classes, self.tests = classes, tests

    def read(self, split: Literal["train", "test"]) -> Split:
        return grey(50_000 if split == "train" else self.tests, self.classes)


@cache
def grey(count: int, classes: int) -> Split:
    """Return images that are read and hashed once for all runs."""
    pixels = (
        torch.arange(100, dtype=torch.uint8)
        .repeat(count // 100)[:, None, None, None]
        .expand(-1, 3, 32, 32)
    )
    names = [str(label) for label in range(classes)]
    return TensorSplit(pixels, torch.arange(count) % classes, names)


@cache
def opened(file: Path) -> StudyContext:
    root = Path("runs").absolute()
    if yaml.safe_load(file.read_text()).get("pretraining"):
        # Its weights are trained first, by a study of its own.
        return open_provisional(file, root)
    return open_study(file, root, fetch=False)


QUICK = [
    "--trainer.fast_dev_run",
    "true",
    "--trainer.accelerator",
    "cpu",
    "--trainer.enable_model_summary",
    "false",
]
EVERYDAY = [REPOSITORY / "configs/studies" / f"{name}.yaml" for name in ("digits_blur_removal",)]
SCALES = (
    *("gaussian", "digits", "mnist", "cifar10_16", "cifar10_5000", "cifar10_10000"),
    *("cifar10", "cifar100"),
)


def scale(file: Path) -> int:
    """Return the scale of a study, of those that its name may begin with the longest."""
    names = [name for name in SCALES if file.stem.startswith(f"{name}_")]
    return SCALES.index(max(names, key=len))


def subject(file: Path) -> str:
    return file.stem.removeprefix(f"{SCALES[scale(file)]}_")


SMALLEST = list({subject(file): file for file in sorted(FILES, key=scale, reverse=True)}.values())


def check_planned(file: Path) -> None:
    text, work = file.read_text(), opened(file)
    assert text.startswith("# ")
    words = " ".join(text.replace("\n# ", " ").split())
    papers = ("et al.", "Ash & Adams", "Frankle & Carbin", "Pawlak")
    assert any(name in words for name in papers), "a paper"
    # Where coefficients are chosen first, it is the study that chooses them.
    assert work.study.name.removesuffix(SELECTION) == file.stem.replace("_", "-")
    check_claims(work)
    asked = sum(len(path.states) - 1 for path in work.paths)
    trained = sum(segment.stop - segment.first for segment in segments(work.paths, EmptyStore()))
    # Averages of weights, of Hare & Tortoise, are not shared.
    reasons = {path.not_shareable_because for path in work.paths} - {None, ""}
    assert all("WeightAveraging" in reason for reason in reasons)
    assert trained <= asked


@pytest.mark.parametrize("file", EVERYDAY, ids=lambda file: file.stem)
def test_a_study_is_planned(file: Path) -> None:
    check_planned(file)


def structure(content: Any) -> Any:
    """Return the keys of a config and the classes that it names."""
    if isinstance(content, dict):
        return [
            (key, value if key == "class_path" else structure(value))
            for key, value in content.items()
        ]
    return [structure(part) for part in content] if isinstance(content, list) else content is None


def run_arms(file: Path) -> None:
    """Train a batch of eight of each arm, of those that differ in values alone the first."""
    distinct: dict[str, dict[str, Any]] = {}
    for config in opened(file).opened.arms:
        distinct.setdefault(repr(structure(config)), config)
    for config in distinct.values():
        data = config["data"]["init_args"]
        if not data["dataset"]["class_path"].endswith(("Digits", "TeacherTargets")):
            subset = data["dataset"]["init_args"].get("subset")
            classes = 100 if data["dataset"]["init_args"].get("name") == "CIFAR100" else 10
            data["dataset"] = {
                "class_path": "tests.studies.test_configs.Grey",
                "init_args": {"subset": subset, "classes": classes},
            }
        data |= {"batch_size": 8, "drop_last": True}
        for callback in config["trainer"]["callbacks"] or []:
            if callback["class_path"].endswith("Trainability"):
                callback["init_args"] |= {"steps": 2, "repeats": 1, "examples": 20}
            if callback["class_path"].endswith("HessianEigenvalues"):
                callback["init_args"] |= {"examples": 20, "tolerance": 0.1}
            if callback["class_path"].endswith("FewShot"):
                new = {**data["dataset"], "init_args": {"tests": 500}}
                callback["init_args"] |= {"examples": 20, "episodes": 2, "dataset": new}
                callback["init_args"] |= {"classes": []}
            if callback["class_path"].endswith("StageAccuracy"):
                callback["init_args"] |= {"examples": 20}
        Path("arm.yaml").write_text(yaml.safe_dump({**config, SEED: 0}, sort_keys=False))
        fit("--config", "arm.yaml", *QUICK)


def nodes(content: Any) -> Iterator[dict[str, Any]]:
    """Yield what names a class, at any depth."""
    if isinstance(content, dict) and "{" not in content.get("class_path", "{"):
        yield content
    inner = content.values() if isinstance(content, dict) else content
    if isinstance(inner, list | ValuesView):
        for part in inner:
            yield from nodes(part)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_study_names_is_there(file: Path) -> None:
    """Of those of paper size too, which CI does not plan."""
    for node in nodes(yaml.safe_load(file.read_text())):
        module, _, name = node["class_path"].rpartition(".")
        taken = inspect.signature(getattr(importlib.import_module(module), name)).parameters
        assert {*node.get("init_args", {})} <= {*taken}, node


def with_something_new() -> list[Path]:
    """Return those of `SMALLEST` that name a class, or an argument of one, as the first."""
    found, named = list[Path](), set[str]()
    for file in sorted(SMALLEST, key=lambda file: (scale(file), file)):
        names = {
            f"{node['class_path']} {name}"
            for node in nodes(yaml.load(file.read_text(), yaml.CSafeLoader))
            for name in ("", *node.get("init_args", {}))
        }
        if not names <= named:
            found.append(file)
        named |= names
    return found


NEW = with_something_new()


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    # CI takes the first study of each class and of each argument of one; but that of remedies in
    # streams has so many arms that they take minutes.
    [
        pytest.param(
            file,
            marks=() if file in NEW and "remedies_stream" not in file.stem else pytest.mark.long,
        )
        for file in SMALLEST
    ],
    ids=lambda file: file.stem,
)
def test_a_study_is_planned_and_its_arms_run(file: Path) -> None:
    """One test, since to open a study takes as long as to run its arms."""
    check_planned(file)
    run_arms(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        # They have so many arms that each takes up to a quarter of a minute to open.
        pytest.param(
            file, marks=() if scale(file) == SCALES.index("cifar10_5000") else pytest.mark.long
        )
        for file in FILES
        if file not in SMALLEST
    ],
    ids=lambda file: file.stem,
)
def test_a_larger_study_is_planned(file: Path) -> None:
    check_planned(file)


@pytest.mark.long
@pytest.mark.parametrize(
    "file", [file for file in FILES if file not in SMALLEST], ids=lambda file: file.stem
)
def test_the_arms_of_a_larger_study_run(file: Path) -> None:
    run_arms(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "share"),
    [
        # Of paper size, which CI does not plan otherwise.
        pytest.param("cifar10_weight_decay_timing", 0.55, marks=pytest.mark.long),
        pytest.param("cifar10_augmentation_timing", 0.55, marks=pytest.mark.long),
        ("cifar10_layer_reset", 0.65),  # 350 epochs once and 500 for each of 7 arms: less cannot be
    ],
)
def test_published_grids_train_little_more_than_half(name: str, share: float) -> None:
    work = opened(REPOSITORY / "configs/studies" / f"{name}.yaml")
    asked = sum(len(path.states) - 1 for path in work.paths)
    assert (
        sum(segment.stop - segment.first for segment in segments(work.paths, EmptyStore()))
        <= share * asked
    )
