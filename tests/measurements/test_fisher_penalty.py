"""The Fisher penalty against hand-made values and the exact trace."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.measurements import Categorical, Gaussian, exact_fisher_trace, fisher_penalty

WEIGHT = torch.tensor([[0.5, -0.2], [0.1, 0.3], [-0.4, 0.2]], dtype=torch.float64)
INPUTS = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)


def linear() -> nn.Linear:
    network = nn.Linear(2, 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(WEIGHT)
    return network


def penalty(network: nn.Module, labels: list[int]) -> Tensor:
    return fisher_penalty(network(INPUTS), torch.tensor(labels), network.parameters())


def test_value_and_gradient() -> None:
    network = linear()
    value = penalty(network, [0, 2])
    assert value.item() == pytest.approx(1.1591063, rel=1e-6)
    value.backward()  # type: ignore[no-untyped-call]
    expected = [[-0.5891453, -1.1029000], [0.3842820, 0.9911748], [0.2048633, 0.1117252]]
    assert torch.allclose(network.weight.grad, torch.tensor(expected).double(), atol=1e-6)  # type: ignore[arg-type]


def test_its_expectation_is_the_trace_divided_by_the_batch() -> None:
    network = linear()
    probabilities = network(INPUTS).softmax(1)
    mean = sum(
        probabilities[0, first] * probabilities[1, second] * penalty(network, [first, second])
        for first, second in product(range(3), repeat=2)
    )
    assert torch.as_tensor(mean).item() == pytest.approx(0.9779266, rel=1e-6)
    assert exact_fisher_trace(network, INPUTS).total / 2 == pytest.approx(0.9779266, rel=1e-6)


def test_two_lines_of_the_formula_for_a_gaussian() -> None:
    network, inputs, targets = nn.Linear(3, 2), torch.randn(5, 3), torch.randn(5, 2)
    loss = (network(inputs) - targets).square().sum(1).mean() / 2
    slopes = torch.autograd.grad(loss, list(network.parameters()))
    expected = sum(slope.square().sum() for slope in slopes)
    actual = fisher_penalty(network(inputs), targets, network.parameters(), Gaussian())
    assert torch.allclose(actual, torch.as_tensor(expected))


def test_parameters_that_play_no_part_are_left_out() -> None:
    network, spare = nn.Linear(3, 2), nn.Parameter(torch.ones(1))
    outputs = network(torch.randn(5, 3))
    targets = Categorical().sample(outputs, torch.Generator())
    values = [
        fisher_penalty(outputs, targets, [*network.parameters(), *more]) for more in ([], [spare])
    ]
    assert values[0] == values[1]


def test_the_highest_trace_of_training_falls_with_the_strength() -> None:
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 5, generator=draws)
    labels = torch.randint(3, (40,), generator=draws)
    highest = [highest_trace(inputs, labels, strength) for strength in (0.0, 0.5, 4.0)]
    assert highest[0] > 1.25 * highest[1] > 1.25**2 * highest[2]


def highest_trace(inputs: Tensor, labels: Tensor, strength: float) -> float:
    """Return the highest trace in a short training from fixed weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 20), nn.Tanh(), nn.Linear(20, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2)
    traces, draws = [], torch.Generator().manual_seed(1)
    for number in range(300):
        outputs = network(inputs)
        targets = Categorical().sample(outputs, draws)
        penalty = fisher_penalty(outputs, targets, network.parameters())
        optimizer.zero_grad()
        (nn.functional.cross_entropy(outputs, labels) + strength * penalty).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if number % 10 == 9:
            traces.append(exact_fisher_trace(network, inputs).total)
    return max(traces)
