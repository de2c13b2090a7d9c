"""Accuracy on each data stage, against numbers made by hand."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from callbacks.diagnostics.look import Look
from callbacks.diagnostics.stage_accuracy import accuracy
from callbacks.probe import Probe
from plasticity_lab.analysis.measure import measure
from plasticity_lab.measurements.stage_accuracy import (
    average_accuracy,
    backward_transfer,
    forgetting,
)
from plasticity_lab.randomness import generator
from tests.runs import fit, logged, tiny

EPOCHS = 6
TAG = "diagnostics/stage_accuracy/"


def stages(growth: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """A run of six epochs with a data stage each two, measured after every epoch."""
    node = {
        "class_path": "callbacks.StageAccuracy",
        "init_args": {"every": "1ep", "examples": 10_000, "earlier": None, **arguments},
    }
    return {
        "trainer": {"max_epochs": EPOCHS, "callbacks+": [node]},
        "data": {
            "init_args": {"dataset": {"init_args": {"subset": 400}}, "drop_last": True, **growth}
        },
    }


def classes(name: str, **arguments: Any) -> dict[str, Any]:
    at = ["2ep", "4ep"]
    return {"growth": {"class_path": f"datamodules.{name}", "init_args": {**arguments, "at": at}}}


GROWING = classes("ClassGrowth", stages=3, uniform_fraction=0.0)
REPLACED = classes("ClassStream", classes_per_stage=4, overlap=1)
PERMUTED: dict[str, Any] = {
    "growth": {"class_path": "datamodules.TaskStream", "init_args": {"every": "2ep"}},
    "stage_transforms": [{"class_path": "datamodules.PixelPermutation"}],
}


def run(growth: dict[str, Any], **arguments: Any) -> tuple[Any, dict[str, list[float]]]:
    finished = fit(*tiny(stages(growth, **arguments)))
    values = logged(finished.place.directory)
    return finished, {
        tag.removeprefix(TAG): [value for _, value in points]
        for tag, points in values.items()
        if tag.startswith(TAG)
    }


def right(finished: Any, chosen: Tensor, images: Tensor | None = None) -> Tensor:
    """Whether the trained network is right, for some test images."""
    test = finished.data.splits.test
    pixels = test.tensor() if images is None else images
    with torch.no_grad():
        logits = finished.model.network.eval()(finished.data.normalise(pixels[chosen]))
    matches: Tensor = logits.argmax(1) == test.targets[chosen]
    return matches.double()


@pytest.mark.parametrize("growth", [GROWING, REPLACED], ids=["growing", "replaced"])
def test_stages_of_classes_are_tested_on_the_classes_that_they_bring(growth: Any) -> None:
    finished, values = run(growth)
    labels = finished.data.splits.test.targets
    brought = [finished.data.stages.stages.classes(stage) for stage in range(3)]
    own = [
        float(right(finished, torch.isin(labels, group).nonzero().flatten()).mean())
        for group in brought
    ]
    assert values["stage0"][-1] == pytest.approx(own[0])
    assert values["stage1"][-1] == pytest.approx(own[1])
    assert values["present"][-1] == pytest.approx(own[2])
    assert values["average"][-1] == pytest.approx(sum(own) / 3)
    seen = torch.isin(labels, torch.cat(brought)).nonzero().flatten()
    assert values["seen"][-1] == pytest.approx(float(right(finished, seen).mean()))


def test_what_is_forgotten_is_the_difference_to_what_was_measured_before() -> None:
    _, values = run(REPLACED)
    present, first, second = values["present"], values["stage0"], values["stage1"]
    # Measured before the first batch, and after each of six epochs; stages begin with the third.
    assert (len(present), len(first), len(second)) == (7, 4, 2)
    of_stages = ([*present[:3], *first], [*present[3:5], *second])
    best = [max(series[:-1]) for series in of_stages]
    expected = sum(high - series[-1] for high, series in zip(best, of_stages, strict=True)) / 2
    assert values["forgetting"][-1] == pytest.approx(expected, abs=1e-6)
    ended = (present[2], present[4])
    changes = [series[-1] - end for series, end in zip(of_stages, ended, strict=True)]
    assert values["backward_transfer"][-1] == pytest.approx(sum(changes) / 2, abs=1e-6)
    assert len(values["forgetting"]) == 4, "not without an earlier stage"


def test_a_stage_with_a_transform_is_tested_on_images_as_it_has_them() -> None:
    finished, values = run(PERMUTED)
    test = finished.data.splits.test
    for stage, name in ((0, "stage0"), (1, "stage1"), (2, "present")):
        draws = generator(0, "PixelPermutation", stage)
        chosen = torch.randperm(256, generator=draws)
        source = torch.empty(256, dtype=torch.int64)
        source[chosen] = chosen[torch.randperm(256, generator=draws)]
        images = test.tensor().flatten(1)[:, source].reshape(test.tensor().shape)
        every = torch.arange(len(test))
        assert values[name][-1] == pytest.approx(float(right(finished, every, images).mean()))
    assert "seen" not in values
    present = logged(finished.place.directory)["val/accuracy"][-1][1]
    assert values["present"][-1] == pytest.approx(present)


def test_outputs_of_classes_that_have_not_come_are_left_out() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    probe = Probe(logits, torch.tensor([1, 1]), torch.arange(2))
    look = Look(nn.Identity(), probe)
    assert accuracy(look, probe, None) == 0
    assert accuracy(look, probe, torch.tensor([False, False, True])) == 0.5
    _, masked = run(GROWING, seen_classes_only=True)
    _, plain = run(GROWING)
    assert masked["present"][-1] == plain["present"][-1], "all have come"


def test_only_the_latest_stages_are_measured_if_so_many_are_asked_for() -> None:
    _, values = run(PERMUTED, earlier=1)
    assert len(values["stage0"]) == 2, "in stage 1 only"
    assert len(values["stage1"]) == 2


def test_a_checkpoint_gives_what_its_run_logged() -> None:
    finished, values = run(REPLACED)
    measured = measure(finished.place.directory / "checkpoints/last.ckpt").values
    found = {tag.removeprefix(TAG): value for tag, value in measured.items()}
    assert found == {tag: pytest.approx(series[-1]) for tag, series in values.items()}


def test_the_names_of_continual_learning_are_their_formulas() -> None:
    """R[i][j] is the accuracy on task j after task i (Lopez-Paz & Ranzato 2017)."""
    table = [[0.9, 0.0, 0.0], [0.7, 0.8, 0.0], [0.5, 0.9, 0.6]]
    last = dict(enumerate(table[2]))
    own = {0: table[0][0], 1: table[1][1]}
    assert average_accuracy(last) == pytest.approx((0.5 + 0.9 + 0.6) / 3)
    assert backward_transfer(last, own) == pytest.approx(((0.5 - 0.9) + (0.9 - 0.8)) / 2)
    best = {0: 0.9, 1: 0.8}
    assert forgetting(last, best) == pytest.approx(((0.9 - 0.5) + (0.8 - 0.9)) / 2)
    assert forgetting({0: 1.0}, {}) is None


def test_a_stage_that_comes_again_is_the_present_one_and_no_earlier_one() -> None:
    again = {
        **PERMUTED,
        "stage_transforms": [
            {"class_path": "datamodules.PixelPermutation", "init_args": {"cycle": 2}}
        ],
    }
    _, values = run(again)
    assert {tag for tag in values if tag.startswith("stage")} == {"stage0", "stage1"}
    assert len(values["stage1"]) == 2, "in stage 2, which is stage 0 again"
    assert len(values["stage0"]) == 2, "in stage 1"


def test_classes_by_other_names_have_no_accuracy_on_all_of_them() -> None:
    binary = classes("ClassStream", classes_per_stage=4, overlap=1, relabel=True)
    _, values = run(binary)
    assert "seen" not in values
    assert values["present"][-1] > 0


@pytest.mark.parametrize(
    ("growth", "arguments", "message"),
    [
        (
            classes("ClassStream", classes_per_stage=4, overlap=1, relabel=True),
            {"seen_classes_only": True},
            "seen_classes_only: true: classes have other names in other stages",
        ),
        (
            {**GROWING, "dataset": {"init_args": {"subset": 300, "validation": 0.005}}},
            {},
            "validation: has no example of class .*, which comes in a stage; hold out more",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(
    growth: dict[str, Any], arguments: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(growth, **arguments)
    assert re.search(message, capsys.readouterr().err)
