"""How active units are."""

import torch
from torch import Tensor, nn

from lightning_modules.networks import MLP, VGG
from plasticity_lab.measurements import (
    activated,
    dormant,
    magnitudes,
    preserve_state,
    unit_activity,
)
from plasticity_lab.surgery import construct, select_units
from tests.networks import SmallNet

IMAGES = torch.randn(7, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_it_is_what_dormant_units_are_measured_by() -> None:
    for network in (construct(SmallNet, 1, 10), construct(MLP, 1, 10, 16, [8, 6])):
        with preserve_state(network), torch.no_grad():
            units = select_units(network, IMAGES[:1])
            found = unit_activity(network, IMAGES, units)
            blocks = activated(network, IMAGES, lambda number, output: magnitudes(output))
        expected = [one for several in blocks.values() for one in several]
        for activity, other in zip(found.values(), expected, strict=True):
            assert torch.allclose(activity, other)


def test_two_channels_of_a_unit_count_together() -> None:
    network = VGG(1, 10, 16, depth=11, width=0.04, norm="none", activation="crelu").eval()
    units = select_units(network, IMAGES[:1])
    maps: list[Tensor] = []
    handle = network.get_submodule("conv1.conv").register_forward_hook(
        lambda layer, inputs, output: maps.append(output)
    )
    found = unit_activity(network, IMAGES, units)["conv1.conv"]
    handle.remove()
    # The positive and the negative part have the magnitude of the whole between them.
    assert torch.allclose(found, maps[0].abs().mean((2, 3)) / 2, atol=1e-6)


def test_tokens_are_averaged_over() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))
    tokens = torch.randn(5, 6, 3)
    units = select_units(network, tokens[:1])
    expected = network[1](network[0](tokens)).abs().mean(1)
    assert torch.allclose(unit_activity(network, tokens, units)["0"], expected)


def test_in_half_precision_a_dead_layer_is_dormant() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert dormant(torch.zeros(3, 2, dtype=dtype), tau=0.0).tolist() == [True, True]
