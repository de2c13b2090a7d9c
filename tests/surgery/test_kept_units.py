"""Networks of which some units are kept."""

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks import MLP
from plasticity_lab.errors import UserError
from plasticity_lab.surgery import hidden_units, unit_masks


def mask(network: nn.Module, kept: list[Tensor], inputs: Tensor) -> None:
    """Set what is pruned to 0."""
    units = {known.layer: known for known in hidden_units(network, inputs[:1])}
    masks = unit_masks(network, units, dict(zip(units, kept, strict=True)))
    with torch.no_grad():
        for name, places in masks.items():
            network.get_parameter(name).mul_(places)


def test_a_network_computes_what_one_of_the_kept_units_alone_does() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU()),
        nn.Linear(5, 2),
    ).eval()
    first, second = torch.tensor([0, 2, 5]), torch.tensor([1, 4])
    inputs = torch.randn(7, 3)
    values = {name: value.clone() for name, value in network.state_dict().items()}
    (w1, b1), (w2, b2), (w3, b3) = (
        (values[f"{layer}.weight"], values[f"{layer}.bias"]) for layer in (0, 2, 5)
    )
    hidden = (inputs @ w1[first].T + b1[first]).relu()
    # Batch norm that has seen nothing divides by the root of 1 + 1e-5.
    hidden = ((hidden @ w2[second][:, first].T + b2[second]) / (1 + 1e-5) ** 0.5).relu()
    expected = hidden @ w3[:, second].T + b3

    kept = [torch.zeros(6).bool(), torch.zeros(5).bool()]
    kept[0][first], kept[1][second] = True, True
    mask(network, kept, inputs)
    assert torch.allclose(network(inputs), expected, atol=1e-6)
    # Weights between two that are pruned, and into and out of one.
    left = [network.get_parameter(f"{layer}.weight").count_nonzero() for layer in (0, 2, 5)]
    assert left == [9, 6, 4]


def test_maps_are_pruned_with_all_that_they_feed() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(16, 3)),
    )
    inputs = torch.randn(2, 1, 6, 6)
    maps = network[:2](inputs) * torch.tensor([1.0, 0, 0, 1])[:, None, None]
    last = network[2:4](maps) * torch.tensor([0.0, 1, 1, 0])[:, None, None]
    expected = network[4:](last)
    kept = [torch.tensor([True, False, False, True]), torch.tensor([False, True, True, False])]
    mask(network, kept, inputs)
    assert torch.allclose(network(inputs), expected, atol=1e-6)


def test_units_that_are_not_those_of_one_layer_are_refused() -> None:
    example = torch.zeros(1, 1, 2, 2)
    doubled = MLP(1, 2, 2, [4], norm="none", activation="crelu")
    with pytest.raises(UserError, match="activation 1 are not those of one layer"):
        hidden_units(doubled, example)
    last = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    with pytest.raises(UserError, match="1: its units reach the output"):
        hidden_units(last, example)
