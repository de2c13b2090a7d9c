"""Initial feature regularisation."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks import InFeR
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import infer_penalty
from plasticity_lab.randomness import generator
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.surgery import copy_network
from tests.callbacks.interventions.arms import intervention, run
from tests.callbacks.interventions.steps import first_step, step, task_alone
from tests.runs import tiny

STRENGTH = 3.0


def features(network: Any, inputs: Tensor) -> Tensor:
    hidden: Tensor = network.norm(network.conv(inputs)).relu().mean((2, 3))
    return hidden


def test_two_lines_of_the_formula() -> None:
    now, began, heads = torch.randn(5, 4), torch.randn(5, 4), torch.randn(3, 4)
    expected = sum(((now - 2 * began) @ head).square().mean() for head in heads)
    assert torch.allclose(infer_penalty(now, began, heads, 2.0), torch.as_tensor(expected))


@pytest.mark.parametrize(("accumulate", "sam"), [(1, False), (3, True)])
def test_a_step_is_one_of_loss_and_penalty(accumulate: int, sam: bool) -> None:
    acting = intervention("InFeR", levels={"0ep": STRENGTH}, heads=3, scale=2.0)
    network, batches, ended = first_step(acting, accumulate, sam)
    initial = copy_network(network)
    heads = torch.randn(3, 4, generator=generator(0, "InFeR", "heads")) / 2

    def loss(network: Any, batch: Any) -> Tensor:
        hidden = features(network, batch.inputs)
        moved = hidden - 2 * features(initial, batch.inputs).detach()
        penalty = (moved @ heads.T).square().sum(1).mean()
        return F.cross_entropy(network.head(hidden), batch.targets) + STRENGTH * penalty

    expected = step(network, batches, loss, sam)
    plain = step(network, batches, task_alone, sam)
    assert torch.allclose(ended, expected, atol=5e-6)
    assert (plain - expected).norm() > 100 * (ended - expected).norm(), "the gradient is there"


def test_at_the_beginning_there_is_nothing_to_hold_back() -> None:
    """With the same dropout in both networks."""
    penalties: list[float] = []

    class Recorded(InFeR):
        def feature_penalty(self, module: Any, batch: Any, features: Tensor) -> Tensor:
            penalty = super().feature_penalty(module, batch, features)
            penalties.append(float(penalty.detach()))
            return penalty

    finished = build(parse(["fit", *tiny()]), extra=[Recorded({"0ep": 0.1})])
    finished.fit()
    assert penalties[0] == pytest.approx(0, abs=1e-10)
    assert penalties[-1] > 1e-6


def test_features_stay_near_those_of_the_beginning() -> None:
    def distance(strength: float) -> float:
        acting = intervention("InFeR", levels={"0ep": strength})
        network, batches, _ = first_step(acting)
        ended = run(acting).model.network.cpu().train()
        inputs = batches[0].inputs
        return float((features(ended, inputs) - features(network, inputs)).norm().detach())

    assert distance(1.0) < distance(0.0) / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"heads": 0}, "heads: 0: set 1 or more"), ({"scale": 0}, "scale: 0: set a number above 0")],
)
def test_values_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        InFeR({"0ep": 0.1}, **arguments)
