"""C-CHAIN: changes of outputs on other examples."""

from typing import Any

import pytest
import torch
from torch import nn

from callbacks import ChurnPenalty
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import churn_penalty
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.surgery import copy_network
from tests.callbacks.interventions.arms import intervention
from tests.callbacks.interventions.steps import RATE, first_step, step, task_alone
from tests.callbacks.interventions.test_refused_and_shown import BORING
from tests.runs import tiny
from tests.test_bad_input import refused

STRENGTH = 20.0
PENALTY = intervention("ChurnPenalty", levels={"0ep": STRENGTH}, examples=8)


def test_two_lines_of_the_formula() -> None:
    """Of batch norm and dropout in training mode, of which it leaves no trace."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    other, inputs = copy_network(network), torch.randn(8, 3)
    weights = {name: value.detach() + 0.1 for name, value in network.named_parameters()}
    other.load_state_dict(weights, strict=False)
    kept, drawn = copy_network(network).state_dict(), torch.get_rng_state()

    penalty = churn_penalty(network, inputs, weights)
    slopes = torch.autograd.grad(penalty, list(network.parameters()))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    with torch.no_grad():
        earlier = other(inputs)
    torch.set_rng_state(drawn)
    expected = (network(inputs) - earlier).square().mean()
    assert torch.equal(penalty, expected)
    for slope, known in zip(
        slopes, torch.autograd.grad(expected, list(network.parameters())), strict=True
    ):
        assert torch.allclose(slope, known)


def test_nothing_has_changed_from_the_same_weights() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 2))
    assert float(churn_penalty(network, torch.randn(5, 3), {}).detach()) == 0


@pytest.mark.parametrize(("accumulate", "sam"), [(1, False), (2, True)])
def test_two_steps_are_those_of_loss_and_penalty(accumulate: int, sam: bool) -> None:
    """The first has no step before it."""
    network, batches, ended = first_step(PENALTY, accumulate, sam, steps=2)
    references = [drawn(number) for number in range(len(batches))]
    number = {id(batch): place for place, batch in enumerate(batches)}
    before = copy_network(network)
    weights = step(network, batches[:accumulate], task_alone, sam)
    nn.utils.vector_to_parameters(weights, network.parameters())

    def loss(network: nn.Module, batch: Any) -> torch.Tensor:
        inputs = references[number[id(batch)]]
        churn: torch.Tensor = (network(inputs) - before(inputs).detach()).square().mean()
        return task_alone(network, batch) + STRENGTH * churn

    plain = step(network, batches[accumulate:], task_alone, sam)
    expected = step(network, batches[accumulate:], loss, sam)
    assert torch.allclose(ended, expected, atol=1e-5 * RATE)
    assert (plain - expected).norm() > 100 * (ended - expected).norm(), "the gradient is there"


def drawn(number: int) -> torch.Tensor:
    """Return the reference batch of a batch of the first epoch."""
    run = build(parse(["fit", *tiny()]))
    data: Any = run.data
    data.trainer = run.trainer
    inputs: torch.Tensor = data.drawn_batch(8, "ChurnPenalty", 0, number, 0).inputs
    return inputs


def test_reference_batches_are_keyed_and_of_the_stage() -> None:
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"counts": [30, 100], "at": ["1ep"]},
    }
    run = build(parse(["fit", *tiny({"data": {"init_args": {"growth": growth}}})]))
    data: Any = run.data
    data.trainer = run.trainer
    several = [data.drawn_batch(20, "ChurnPenalty", 0, number, 0) for number in (0, 0, 1)]
    assert torch.equal(several[0].inputs, several[1].inputs)
    assert not torch.equal(several[0].indices, several[2].indices)
    members = {int(index) for index in data.stages.members(0)}
    for batch in several:
        assert {*batch.indices.tolist()} <= members
        assert len({*batch.indices.tolist()}) == 20


def test_statistics_are_those_of_training_batches_alone() -> None:
    network = first_step_network(PENALTY)
    assert int(network.norm.num_batches_tracked) == 3


def first_step_network(acting: dict[str, Any]) -> Any:
    settings = {"trainer": {"callbacks+": [acting], "max_steps": 3}}
    run = build(parse(["fit", *tiny(settings)]))
    run.fit()
    model: Any = run.model
    return model.network


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a module of somebody else's": (BORING, "ChurnPenalty: BoringModel asks no callback"),
    "a compiled network": (
        {"model": {"init_args": {"compile": True}}},
        "ChurnPenalty: a compiled network cannot be called with earlier weights",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_work_with(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = REFUSED[case]
    refused(["fit", *tiny({"trainer": {"callbacks+": [PENALTY]}}, fragment)], message, capsys)


def test_a_reference_batch_has_examples() -> None:
    with pytest.raises(UserError, match="examples: 0: set 1 or more"):
        ChurnPenalty({"0ep": 1.0}, examples=0)
