"""Continual backpropagation, against numbers made with the authors' code."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.surgery import (
    UnitUtility,
    choose_replaced,
    construct,
    corrected_utility,
    incoming_magnitudes,
    mean_activation,
    outgoing_magnitudes,
    reset_units,
    select_units,
    update_utility,
)

W_IN = torch.tensor([[1, 0], [0, 1], [0.5, 0.5], [-1, 1]])
W_OUT = torch.tensor([[1, 0.5, 0.2, -1], [0, -0.5, 0.4, 1]])
H = [
    torch.tensor([[1, 0, 2, 0.5], [3, 0.2, 0, 0.5]]),
    torch.tensor([[2, 0.4, 1, 0], [0, 0, 1, 1]]),
]
DECAY = 0.9


def toy() -> Any:
    network: Any = construct(nn.Sequential, nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.copy_(W_IN)
        network[2].weight.copy_(W_OUT)
    return network


def grown(kind: str, known: UnitUtility, network: Any, h: Tensor) -> Tensor:
    """Let units grow older by a step; return their corrected utility."""
    units = select_units(network, torch.zeros(1, 2))["0"]
    size = h.abs().mean(0)
    incoming: Tensor | float = 1.0
    if kind == "adaptable":
        size = (h - mean_activation(known, h.mean(0), DECAY)).abs().mean(0)
        incoming = incoming_magnitudes(network, units)
    utility = size * outgoing_magnitudes(network, units) / incoming
    update_utility(known, utility, h.mean(0), DECAY)
    return corrected_utility(known, DECAY)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("contribution", [[1, 0.05, 0.3, 0.5], [0.736842, 0.076316, 0.3, 0.5]]),
        ("adaptable", [[1, 0.1, 0.6, 0], [1, 0.152632, 0.284211, 0.263158]]),
    ],
)
def test_utilities_are_those_of_the_authors(kind: str, expected: list[list[float]]) -> None:
    known, network = UnitUtility.fresh(4), toy()
    for h, numbers in zip(H, expected, strict=True):
        assert torch.allclose(grown(kind, known, network, h), torch.tensor(numbers), atol=1e-6)


def test_the_unit_of_lowest_utility_is_replaced_and_a_share_of_one_is_kept() -> None:
    known, network = UnitUtility.fresh(4), toy()
    bias = network[2].bias.detach().clone()
    units = select_units(network, torch.zeros(1, 2))
    grown("contribution", known, network, H[0])
    # None is older than a step.
    assert choose_replaced(known, rate=0.3, maturity=1, decay=DECAY) is None
    assert known.replacements == 0
    grown("contribution", known, network, H[1])
    chosen = choose_replaced(known, rate=0.3, maturity=1, decay=DECAY)
    assert chosen is not None
    assert chosen.tolist() == [False, True, False, False]
    assert known.replacements == pytest.approx(0.2)
    assert known.age.tolist() == [2, 0, 2, 2]
    assert known.utility[1] == known.mean[1] == 0

    reset_units(network, units, {"0": chosen}, lambda name: (0, "recycle", name), bias="zero")
    assert (network[2].weight[:, 1] == 0).all()
    assert network[2].bias.equal(bias)
    assert network[0].bias[1] == 0
    kept = [0, 2, 3]
    assert network[2].weight[:, kept].equal(W_OUT[:, kept])
    assert network[0].weight[kept].equal(W_IN[kept])


def test_a_rate_of_one_replaces_all_mature_units_and_of_zero_none() -> None:
    known = UnitUtility.fresh(4)
    for h in H:
        update_utility(known, h.mean(0), h.mean(0), DECAY)
    known.age[2] = 1
    assert choose_replaced(known, rate=0.0, maturity=1, decay=DECAY) is None
    chosen = choose_replaced(known, rate=1.0, maturity=1, decay=DECAY)
    assert chosen is not None
    assert chosen.tolist() == [True, True, False, True]


def test_magnitudes_of_flattened_grouped_and_several_consumers() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 4, 1)
            self.grouped, self.flat = nn.Conv2d(4, 6, 3, groups=2), nn.Linear(16, 2)
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.first(x).relu()
            other = self.head(self.grouped(maps).mean((2, 3)))
            logits: Tensor = self.flat(maps[:, :, 1:3, 1:3].flatten(1)) + other
            return logits

    network = Branches()
    units = select_units(network, torch.zeros(1, 1, 4, 4))["first"]
    found = outgoing_magnitudes(network, units)
    for unit in range(4):
        group = unit // 2
        own = [
            network.grouped.weight[3 * group : 3 * group + 3, unit % 2].flatten(),
            network.flat.weight[:, 4 * unit : 4 * unit + 4].flatten(),
        ]
        assert torch.allclose(found[unit], torch.cat(own).abs().mean())


def test_without_keeping_parts_a_unit_is_due_with_the_probability_of_its_part() -> None:
    def due(rate: float, key: int) -> int:
        known = UnitUtility.fresh(4)
        known.age += 5
        draws = torch.Generator().manual_seed(key)
        chosen = choose_replaced(known, rate, maturity=1, decay=DECAY, draws=draws)
        assert known.replacements == 0
        return 0 if chosen is None else int(chosen.sum())

    assert sum(due(0.05, key) for key in range(1000)) == pytest.approx(200, abs=40)
    assert {due(0.7, key) for key in range(20)} == {2}, "2.8 units"
