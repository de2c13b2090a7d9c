"""Single weights of low utility."""

import torch
from torch import nn

from plasticity_lab.surgery import below_mean, initial_means, lowest_share, reset_weights


def test_the_lowest_share_is_the_lowest() -> None:
    utility = torch.rand(7, 11, generator=torch.Generator().manual_seed(0))
    for share in (0.0, 0.25, 1.0):
        chosen = lowest_share(utility, share, torch.Generator().manual_seed(1))
        count = int(chosen.sum())
        assert count in (int(77 * share), int(77 * share) + 1)
        expected = utility.flatten().sort().values[:count]
        assert utility[chosen].sort().values.equal(expected)


def test_less_than_a_weight_is_chosen_as_often_as_it_is_due() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = [int(lowest_share(torch.rand(10), 0.03, generator).sum()) for _ in range(2000)]
    assert {*counts} == {0, 1}
    assert abs(sum(counts) / 2000 - 0.3) < 0.04


def test_equal_utilities_are_chosen_in_order() -> None:
    assert lowest_share(torch.zeros(4), 0.5, torch.Generator()).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_a_threshold_is_of_the_mean() -> None:
    utility = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    assert below_mean(utility, 0.5).tolist() == [[True, True], [False, False]]
    assert below_mean(utility, 0.0).tolist() == [[True, False], [False, False]]


def test_weights_and_their_moments_alone_change() -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(4, 3)).pow(2).sum().backward()
    optimizer.step()
    before = network.weight.detach().clone()
    mask = torch.tensor([[True, False, False], [False, False, True]])
    values = {"weight": torch.full((2, 3), 7.0)}
    parameters = dict(network.named_parameters())
    assert reset_weights(parameters, {"weight": mask}, values, [optimizer]) == 2
    assert network.weight is parameters["weight"]
    assert (network.weight[mask] == 7).all()
    assert network.weight[~mask].equal(before[~mask])
    for moment in ("exp_avg", "exp_avg_sq"):
        state = optimizer.state[network.weight][moment]
        assert (state[mask] == 0).all()
        assert (state[~mask] != 0).all()
    assert optimizer.state[network.weight]["step"] == 1


def test_means_are_those_of_constants_and_0() -> None:
    fresh = {"scale": torch.ones(3), "shift": torch.zeros(3), "weight": torch.randn(3, 2)}
    means = initial_means(fresh)
    assert means["scale"].equal(torch.ones(3))
    assert not means["shift"].any()
    assert not means["weight"].any()


def test_a_single_value_is_a_constant_if_it_is_0_or_1() -> None:
    fresh = {name: torch.tensor([value]) for name, value in {"scale": 1.0, "bias": 0.37}.items()}
    assert {name: value.item() for name, value in initial_means(fresh).items()} == {
        "scale": 1,
        "bias": 0,
    }
