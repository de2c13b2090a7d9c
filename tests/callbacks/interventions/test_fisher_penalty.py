"""The Fisher penalty in runs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.measurements import Categorical
from plasticity_lab.randomness import generator
from tests.callbacks.interventions.arms import intervention
from tests.callbacks.interventions.steps import first_step, step
from tests.runs import tiny
from tests.test_bad_input import refused

STRENGTH = 0.5
PENALTY = intervention("FisherPenalty", levels={"0ep": STRENGTH})


@pytest.mark.parametrize(("accumulate", "sam"), [(1, False), (3, False), (3, True)])
def test_a_step_is_one_of_loss_and_penalty(accumulate: int, sam: bool) -> None:
    """With other targets for each batch, and the same random numbers in both passes of SAM."""
    network, batches, ended = first_step(PENALTY, accumulate, sam)
    number = {id(batch): place for place, batch in enumerate(batches)}

    def loss(network: nn.Module, batch: Any) -> Tensor:
        outputs = network(batch.inputs)
        draws = generator(0, "FisherPenalty", 0, number[id(batch)], 0)
        drawn = F.cross_entropy(outputs, Categorical().sample(outputs, draws))
        slopes = torch.autograd.grad(drawn, list(network.parameters()), create_graph=True)
        penalty = sum(slope.square().sum() for slope in slopes)
        return F.cross_entropy(outputs, batch.targets) + STRENGTH * penalty

    expected = step(network, batches, loss, sam)
    plain = step(
        network, batches, lambda net, batch: F.cross_entropy(net(batch.inputs), batch.targets), sam
    )
    assert torch.allclose(ended, expected, atol=1e-5)
    assert (plain - expected).norm() > 100 * (ended - expected).norm(), "the gradient is there"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a network without second derivatives": (
        {"model": {"init_args": {"network": {"class_path": "tests.networks.OnceNet"}}}},
        "FisherPenalty: network: has no second derivative",
    ),
    "a compiled network": (
        {"model": {"init_args": {"compile": True}}},
        "FisherPenalty: a compiled network cannot be differentiated twice; set compile: false",
    ),
    "float16": (
        {"trainer": {"precision": "16-true"}},
        "FisherPenalty: precision: 16-true: its gradients underflow in float16; use bf16-mixed",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_work_with(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = REFUSED[case]
    refused(["fit", *tiny({"trainer": {"callbacks+": [PENALTY]}}, fragment)], message, capsys)
