"""What is logged of the infinitely wide network is what its kernels say of the run's data."""

from typing import Any

import pytest
import torch

from callbacks import Look
from callbacks.diagnostics import InfiniteWidthReference
from callbacks.probe import Probe
from callbacks.probe import test_probe as probe_of_test
from datamodules import ImageDataModule
from lightning_modules import Regression, SquaredError
from lightning_modules.networks import CentredNetwork, WideNetwork
from plasticity_lab.measurements.infinite_kernels import nngp_and_ntk
from plasticity_lab.timing import Time
from tests.registry import WIDE
from tests.runs import fit, logged, tiny
from tests.test_bad_input import refused

NAME = "diagnostics/infinite_width/"
FULL_BATCH = {"data": {"init_args": {"batch_size": 100}}}


def measuring(**arguments: Any) -> dict[str, Any]:
    settings = {"every": "2ep", "examples": 100, "test_examples": 60, **arguments}
    node = {"class_path": "callbacks.InfiniteWidthReference", "init_args": settings}
    return {"trainer": {"callbacks+": [node], "max_epochs": 5}}


def values(*fragments: dict[str, Any]) -> tuple[Any, dict[str, list[tuple[int, float]]]]:
    finished = fit(*tiny(WIDE, *fragments))
    tags = logged(finished.place.directory)
    return finished, {
        tag.removeprefix(NAME): found for tag, found in tags.items() if tag.startswith(NAME)
    }


def test_a_run_logs_its_distance_to_descent_with_the_kernel() -> None:
    """Against descent step by step; the rate falls by a fifth after each epoch of one step."""
    finished, tags = values(FULL_BATCH, measuring(regularisations=[0.1]))
    assert [step for step, _ in tags["difference"]] == [0, 1, 3, 4]

    # The training examples in the order of the data, and the test examples.
    data: ImageDataModule = finished.data
    members = data.stages.members(0)
    train = data.splits.train
    inputs = data.normalise(train.__getitems__(members.tolist()))
    labels = train.targets[members]
    probe = probe_of_test(data, 0, 60)
    network = finished.model.network
    kernels = nngp_and_ntk(network.infinite, inputs)
    cross = nngp_and_ntk(network.infinite, probe.inputs, inputs)
    targets = torch.eye(10).double()[labels] - 0.1
    residual, expected = targets, torch.zeros(60, 10).double()
    for step in range(5):
        rate = 0.1 * 0.8**step / 100
        expected = expected + rate * cross.ntk @ residual
        residual = residual - rate * kernels.ntk @ residual

    with torch.no_grad():
        outputs = network(probe.inputs).double()
    distance = float((outputs - expected).square().mean().sqrt())
    assert tags["difference"][-1][1] == pytest.approx(distance, rel=1e-6)
    right = float((outputs.argmax(1) == probe.targets).double().mean())
    assert tags["accuracy"][-1][1] == pytest.approx(right)

    ridge = 0.1 * kernels.nngp.trace() / 100 * torch.eye(100).double()
    predicted = cross.nngp @ torch.linalg.inv(kernels.nngp + ridge) @ targets
    error = (predicted - torch.eye(10)[probe.targets] + 0.1).square().mean()
    assert tags["nngp_error"][-1][1] == pytest.approx(float(error), rel=1e-6)
    assert tags["ntk_regularisation"][0][1] == pytest.approx(0.1)
    assert tags["ntk_accuracy"][0] == (0, tags["ntk_accuracy"][-1][1])


def by_hand(objective: Any, targets: torch.Tensor) -> dict[str, float]:
    network = CentredNetwork(1, 2, 4, WideNetwork, {"width": 32})
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(30, 1, 4, 4, generator=draws)
    probe = Probe(inputs[:20], targets[:20], torch.arange(20).flip(0))
    test = Probe(inputs[20:], targets[20:], torch.arange(10))
    look = Look(
        network,
        probe,
        objective,
        stage_members=lambda stage: torch.arange(20),
        test_probe=lambda examples: test,
        optimizer_for=lambda other: torch.optim.SGD(other.parameters(), 0.1),
    )
    diagnostic = InfiniteWidthReference(Time("1ep"), examples=20)
    diagnostic.check(look)
    found: Any = diagnostic.look_at(look)
    return dict(found)


def test_regression_on_the_same_targets_gives_the_same() -> None:
    labels = torch.arange(30) % 2
    classes = by_hand(SquaredError(), labels)
    numbers = by_hand(Regression(), torch.eye(2)[labels] - 0.5)
    assert {name for name in classes if name not in numbers} == {
        f"infinite_width/{which}accuracy" for which in ("", "nngp_", "ntk_")
    }
    assert numbers == {name: classes[name] for name in numbers}

    # Before training a centred network is at its prediction, and its error is that of 0.
    assert classes["infinite_width/difference"] == 0
    assert classes["infinite_width/error"] == 0.25


def test_later_stages_are_left_out() -> None:
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"fractions": [0.5, 1.0], "at": ["2ep"]},
    }
    _, tags = values({"data": {"init_args": {"growth": growth}}}, measuring(every="1ep"))
    assert len(tags["difference"]) == 3
    assert len(tags["accuracy"]) == 3


CLASSIFIER = {
    "model": {
        "class_path": "lightning_modules.ImageClassifier",
        "init_args": {"network": WIDE["model"]["init_args"]["network"]},
    }
}
MOMENTUM = {"model": {"init_args": {"optimizer": {"init_args": {"momentum": 0.9}}}}}


@pytest.mark.parametrize(
    ("fragments", "message"),
    [
        ([measuring()], "network: SmallNet: its infinitely wide limit is not known"),
        ([CLASSIFIER, measuring()], "objective: Classification: is not squared error"),
        ([WIDE, measuring(examples=99)], "examples: 99: training begins with 100; set 100 or more"),
        ([WIDE, measuring(regularisations=[-1.0])], r"regularisations: \[-1.0\]: name some, 0 or"),
        ([WIDE, measuring(test_examples=0)], "test_examples: 0: set 1 or more"),
        ([WIDE, MOMENTUM, measuring()], "optimizer: SGD: has no closed form"),
    ],
)
def test_what_has_no_closed_form_is_refused(
    fragments: list[dict[str, Any]], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["fit", *tiny(*fragments)], message, capsys)
