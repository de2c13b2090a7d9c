"""The feature-norm penalty, and what is common to all terms of the loss."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks import FeatureNormPenalty
from tests.callbacks.interventions.arms import intervention, run
from tests.callbacks.interventions.steps import first_step, step, task_alone
from tests.callbacks.interventions.test_refused_and_shown import BORING
from tests.runs import logged, tiny
from tests.test_bad_input import refused

PENALTY = intervention("FeatureNormPenalty", levels={"0ep": 0.3})


def features(network: Any, inputs: Tensor) -> Tensor:
    hidden: Tensor = network.norm(network.conv(inputs)).relu().mean((2, 3))
    return hidden


def loss(network: Any, batch: Any) -> Tensor:
    hidden = features(network, batch.inputs)
    task = F.cross_entropy(network.head(hidden), batch.targets)
    return task + 0.3 * hidden.pow(2).sum(1).mean()


@pytest.mark.parametrize(("accumulate", "sam"), [(1, False), (3, False), (3, True)])
def test_a_step_is_one_of_loss_and_penalty(accumulate: int, sam: bool) -> None:
    network, batches, ended = first_step(PENALTY, accumulate, sam)
    plain = step(network, batches, task_alone, sam)
    expected = step(network, batches, loss, sam)
    assert torch.allclose(ended, expected, atol=2e-6)
    assert (plain - expected).norm() > 1000 * (ended - expected).norm(), "the gradient is there"


def test_features_shrink() -> None:
    def norm(finished: Any) -> float:
        network = finished.model.network.cpu().eval()
        return float(features(network, torch.rand(20, 1, 16, 16)).norm().detach())

    torch.manual_seed(0)
    strong = intervention("FeatureNormPenalty", levels={"0ep": 3.0})
    assert norm(run(strong)) < norm(run()) / 3


def test_what_is_logged_is_the_loss_of_the_task() -> None:
    still = intervention("LearningRateFactor", levels={"0ep": 0.0})
    values = [logged(one.place.directory) for one in (run(PENALTY, still), run(still))]
    for tag in ("train/loss", "train/accuracy", "val/loss"):
        assert values[0][tag] == values[1][tag]


def test_no_strength_costs_no_hook() -> None:
    penalty = FeatureNormPenalty({"0ep": 0.0})
    module = nn.Linear(2, 2)
    with penalty.recording(module):  # type: ignore[arg-type]  # any module will do
        assert not module._forward_pre_hooks
    assert penalty.term(module, None, torch.ones(1)) is None  # type: ignore[arg-type]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a module of somebody else's": (
        {**BORING, "trainer": {"callbacks+": [PENALTY]}},
        "FeatureNormPenalty: BoringModel asks no callback for terms of its loss; use",
    ),
    "a compiled network": (
        {"trainer": {"callbacks+": [PENALTY]}, "model": {"init_args": {"compile": True}}},
        "FeatureNormPenalty: a compiled network hides its features; set compile: false",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_work_with(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = REFUSED[case]
    refused(["fit", *tiny(fragment)], message, capsys)
