"""Parts of an optimizer's state, against Adam's formula."""

import torch
from torch import Tensor, nn

from plasticity_lab.surgery import clear_moments, clear_optimizer_state, clear_step_counts

RATE, FIRST, SECOND = 0.1, 0.9, 0.999


def stepped(weight: nn.Parameter, optimizer: torch.optim.Optimizer, gradient: float) -> Tensor:
    """Make a step; return how far it went."""
    before = weight.detach().clone()
    weight.grad = torch.full_like(weight, gradient)
    optimizer.step()
    return before - weight.detach()


def adam() -> tuple[nn.Parameter, torch.optim.Adam]:
    weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr=RATE, betas=(FIRST, SECOND), eps=0)
    for gradient in (1.0, 3.0):
        stepped(weight, optimizer, gradient)
    return weight, optimizer


def test_moments_begin_anew_and_are_corrected_for_the_steps_before() -> None:
    weight, optimizer = adam()
    clear_moments(optimizer)
    first, second = (1 - FIRST) / (1 - FIRST**3), (1 - SECOND) / (1 - SECOND**3)
    expected = RATE * first / second**0.5
    torch.testing.assert_close(stepped(weight, optimizer, 2.0), torch.full_like(weight, expected))


def test_step_counts_begin_anew_with_the_moments_there_are() -> None:
    weight, optimizer = adam()
    first = FIRST * (1 - FIRST) * 1 + (1 - FIRST) * 3
    second = SECOND * (1 - SECOND) * 1 + (1 - SECOND) * 9
    clear_step_counts(optimizer)
    first, second = FIRST * first + (1 - FIRST) * 2, SECOND * second + (1 - SECOND) * 4
    expected = RATE * (first / (1 - FIRST)) / (second / (1 - SECOND)) ** 0.5
    torch.testing.assert_close(stepped(weight, optimizer, 2.0), torch.full_like(weight, expected))


def test_of_single_weights_what_does_not_begin_at_0_is_left_alone() -> None:
    weight = nn.Parameter(torch.zeros(2))
    chosen = {weight: torch.tensor([True, False])}
    rprop = torch.optim.Rprop([weight], lr=0.5)
    stepped(weight, rprop, 1.0)
    clear_optimizer_state(rprop, chosen)
    assert rprop.state[weight]["step_size"].tolist() == [0.5, 0.5]
    assert rprop.state[weight]["prev"].tolist() == [0.0, 1.0]

    nadam = torch.optim.NAdam([weight])
    stepped(weight, nadam, 1.0)
    clear_optimizer_state(nadam, chosen, step_counts=True)
    assert (nadam.state[weight]["step"], nadam.state[weight]["mu_product"]) == (0, 1)
    assert nadam.state[weight]["exp_avg"][0] == 0 < nadam.state[weight]["exp_avg"][1]


def test_moments_of_a_scalar_are_cleared_and_its_count_is_not() -> None:
    scalar = nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.Adam([scalar])
    scalar.grad = torch.tensor(2.0)
    optimizer.step()
    clear_moments(optimizer)
    state = optimizer.state[scalar]
    assert [float(state[name]) for name in ("exp_avg", "exp_avg_sq", "step")] == [0, 0, 1]


def test_adagrads_sums_begin_anew_where_they_began() -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adagrad([weight], lr=RATE, initial_accumulator_value=1.0)
    first = stepped(weight, optimizer, 1e-3)
    stepped(weight, optimizer, 5.0)
    clear_moments(optimizer)
    torch.testing.assert_close(stepped(weight, optimizer, 1e-3), first)
    stepped(weight, optimizer, 5.0)
    clear_optimizer_state(optimizer, {weight: torch.tensor([True, False])})
    assert optimizer.state[weight]["sum"][0] == 1 < optimizer.state[weight]["sum"][1] - 20
