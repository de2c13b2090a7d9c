"""Few-shot accuracy of a run's features on classes that it is not trained on."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch

from callbacks import FewShot
from callbacks.diagnostics.base import check_diagnostic
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.novel_examples import novel_examples
from callbacks.diagnostics.run_look import with_data
from callbacks.probe import NO_PROBE
from datamodules import (
    Batch,
    ClassSubset,
    Digits,
    ExampleDataset,
    ImageDataModule,
    LabelRemap,
    PixelPermutation,
    Split,
    TaskStream,
    TensorSplit,
)
from lightning_modules.networks import MLP
from plasticity_lab.analysis.measure import measure
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import (
    draw_episodes,
    episode_accuracies,
    last_features,
    mean_and_interval,
    transform_features,
)
from plasticity_lab.randomness import generator
from plasticity_lab.studies.metrics import scale
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import as_measured, check_invisible, diagnostic
from tests.flipped_digits import FlippedDigits
from tests.runs import BRIEF, fit, logged, tiny

TAG = "diagnostics/few_shot/"
NEW = ["5", "6", "7", "8", "9"]


def fragment(**arguments: Any) -> dict[str, Any]:
    """A run on digits 0 to 4, measured on the others after every epoch."""
    node = {
        "class_path": "callbacks.FewShot",
        "init_args": {"every": "1ep", "examples": 60, "episodes": 20, "classes": NEW, **arguments},
    }
    dataset = {
        "class_path": "datamodules.ClassSubset",
        "init_args": {
            "dataset": {"class_path": "datamodules.Digits"},
            "classes": ["0", "1", "2", "3", "4"],
            "subset": 100,
        },
    }
    return {
        "trainer": {**BRIEF["trainer"], "callbacks+": [node]},
        "data": {"init_args": {"dataset": dataset}},
    }


def run(**arguments: Any) -> tuple[Any, dict[str, list[tuple[int, float]]]]:
    finished = fit(*tiny(fragment(**arguments)))
    values = logged(finished.place.directory)
    return finished, {
        tag.removeprefix(TAG): points for tag, points in values.items() if tag.startswith(TAG)
    }


def test_a_run_logs_accuracies_of_new_classes() -> None:
    finished, values = run(transform="CL2N", pixels=True)
    assert [step for step, _ in values["1_shot_accuracy"]] == [0, 3, 7, 11]

    # The same by functions alone: test images of the new classes, normalised as the run's.
    whole = Digits().read("test")
    chosen = whole.targets >= 5
    images = finished.data.normalise(whole.tensor()[chosen])
    labels = whole.targets[chosen] - 5
    with as_measured(finished, 60) as (network, probe):
        base, features = last_features(network, probe.inputs), last_features(network, images)
    pixels = images.flatten(1)
    kinds = {"": (base, features), "pixels/": (probe.inputs.flatten(1), pixels)}
    for group, (known, described) in kinds.items():
        transformed = transform_features(described, "CL2N", known.mean(0))
        for shots in (1, 5):
            draws = generator(finished.data.seed, "FewShot", shots)
            episodes = draw_episodes(labels, 5, shots, 15, 20, draws)
            expected = mean_and_interval(episode_accuracies(transformed, episodes, "centroid"))
            for name, value in zip(("accuracy", "interval"), expected, strict=True):
                (_, found) = values[f"{group}{shots}_shot_{name}"][-1]
                assert found == pytest.approx(value, rel=1e-6)

    # Inputs are measured once, and again of any checkpoint.
    assert [step for step, _ in values["pixels/5_shot_accuracy"]] == [0]
    measured = measure(finished.place.directory / "checkpoints" / "last.ckpt").values
    assert {tag.removeprefix(TAG) for tag in measured} == {*values}
    for tag, points in values.items():
        assert measured[TAG + tag] == pytest.approx(points[-1][1], rel=1e-6), tag
    assert all(scale(TAG + tag) == (100 if "accuracy" in tag else 1) for tag in values)
    check_invisible(finished, diagnostic(finished))


def test_a_network_that_stands_still_has_the_same_episodes_at_every_measurement() -> None:
    still = {"model": {"init_args": {"optimizer": {"init_args": {"lr": 0.0}}}}}
    arguments = tiny(fragment(classifier="matching", shots=[2]), still)
    values = logged(fit(*arguments).place.directory)
    assert {tag.removeprefix(TAG) for tag in values if tag.startswith(TAG)} == {
        "2_shot_accuracy",
        "2_shot_interval",
    }
    points = values[f"{TAG}2_shot_accuracy"]
    assert len(points) == 4
    assert len({value for _, value in points}) == 1


def base(**arguments: Any) -> ImageDataModule:
    return ImageDataModule(ClassSubset(Digits(), ["0", "1", "2"]), **arguments)


def test_new_examples_go_through_the_transforms_of_their_stage() -> None:
    permuted = base(
        growth=TaskStream(every=Time("1ep")), stage_transforms=[PixelPermutation(), LabelRemap()]
    )
    for stage in (0, 1):
        found = novel_examples(permuted, stage, None, ["9", "5"])
        split = ClassSubset(Digits(), ["9", "5"]).read("test")
        stored = Batch(split.tensor(), split.targets, torch.arange(len(split)))
        shown = permuted.normalise(permuted.in_stage(stored, "test", stage).inputs)
        assert torch.equal(found.inputs, shown)
        assert torch.equal(found.labels, split.targets)
        assert found.classes == ["9", "5"]
    plain = novel_examples(base(), 1, None, ["9", "5"])
    assert not torch.equal(plain.inputs, found.inputs)


def test_new_classes_of_another_data_set_are_those_of_its_test_split() -> None:
    data = base()
    found = novel_examples(data, 0, FlippedDigits(), [])
    split = FlippedDigits().read("test")
    assert torch.equal(found.inputs, data.normalise(split.tensor()))
    assert torch.equal(found.labels, split.targets)


class Values(ExampleDataset):
    """Numbers, with classes or without."""

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.classes = classes

    def read(self, split: Literal["train", "test"]) -> Split:
        return TensorSplit(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), self.classes)


def test_what_is_no_new_class_is_refused() -> None:
    with pytest.raises(UserError, match="classes: 1: the run is trained on it"):
        novel_examples(base(), 0, None, ["8", "1"])
    with pytest.raises(UserError, match="classes: eight: the data have no such class"):
        novel_examples(base(), 0, None, ["eight"])
    with pytest.raises(UserError, match="trained on all classes of its data set"):
        novel_examples(ImageDataModule(Digits()), 0, None, ["8"])
    for run_on in (base(), ImageDataModule(Digits())):
        with pytest.raises(UserError, match="dataset: Digits: is what the run is trained on"):
            novel_examples(run_on, 0, Digits(), [])
    with pytest.raises(UserError, match=r"the run's inputs are \(1, 16, 16\)"):
        novel_examples(base(), 0, Values(["a"]), [])
    with pytest.raises(UserError, match="dataset: has no classes"):
        novel_examples(base(), 0, Values([]), [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "classes, dataset: set one of the two"),
        ({"classes": NEW, "dataset": Digits()}, "classes, dataset: set one of the two"),
        ({"classes": NEW, "ways": 1}, "ways: 1: set 2 or more"),
        ({"classes": NEW, "shots": [1, 1]}, "shots"),
        ({"classes": NEW, "shots": [0]}, "shots"),
        ({"classes": NEW, "queries": 0}, "queries: 0: set 1 or more"),
        ({"classes": NEW, "episodes": 1}, "episodes: 1: set 2 or more"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FewShot(Time("1ep"), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": NEW[:4]}, "FewShot: ways: 5: there are examples of 4 classes only"),
        ({"classes": NEW, "queries": 48}, "FewShot: queries: 48: with shots 1 a class needs 49"),
    ],
)
def test_too_few_are_refused_before_training(arguments: dict[str, Any], message: str) -> None:
    look = with_data(
        Look(MLP(1, 3, 16), NO_PROBE._replace(inputs=torch.zeros(2, 1, 16, 16))), base(), 0
    )
    with pytest.raises(UserError, match=message):
        check_diagnostic(FewShot(Time("1ep"), **arguments), look)
    with pytest.raises(UserError, match=r"only datamodules\.ImageDataModule has new classes"):
        check_diagnostic(FewShot(Time("1ep"), **arguments), replace(look, novel_examples=None))


def test_a_data_set_tells_diagnostics_apart() -> None:
    names = {
        repr(FewShot(Time("1ep"), dataset=dataset))
        for dataset in (
            Digits(),
            Digits(),
            ClassSubset(Digits(), ["1"]),
            ClassSubset(Digits(), ["2"]),
        )
    }
    assert len(names) == 3
