"""Which layers are chosen, and how they are drawn again."""

from typing import Any

import pytest
import torch
from torch import nn

from callbacks.interventions.layers import choose, every_layer, redrawn
from errors import UserError
from lightning_modules.initialisation import initialise
from lightning_modules.networks import ResNet

NETWORK = ResNet(1, 10, width=4, depth=1)


def tops(names: dict[str, nn.Module]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_last_counts_blocks_from_the_top() -> None:
    assert tops(choose(NETWORK, 1, None)) == {"head"}
    assert tops(choose(NETWORK, 4, None)) == {"layer2", "layer3", "layer4", "head"}
    assert choose(NETWORK, 6, None) == every_layer(NETWORK)


def test_patterns_choose_layers_with_their_parts() -> None:
    assert tops(choose(NETWORK, None, ["layer4", "head"])) == {"layer4", "head"}
    assert tops(choose(NETWORK, None, ["layer*"])) == {"layer1", "layer2", "layer3", "layer4"}
    assert set(choose(NETWORK, None, ["*.norm1"])) == {f"layer{module}.0.norm1" for module in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("last", "layers", "message"),
    [
        (None, None, "write either last: 3 .* or layers"),
        (2, ["head"], "write either last: 3"),
        (7, None, r"last: 7: ResNet has 6 blocks \(stem, layer1, .*head\)"),
        (0, None, "last: 0: ResNet has 6 blocks"),
        (None, ["layer5"], "layers: layer5: matches nothing; there are stem, layer1, layer2, layer3, layer4, head and their parts"),
        (None, ["head", "heads*"], r"layers: heads\*: matches nothing"),
    ],
)
def test_no_effect_is_an_error(last: int | None, layers: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(NETWORK, last, layers)


def test_a_network_without_blocks_or_reset_is_named() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Module()
            self.scale.factor = nn.Parameter(torch.ones(1))
            self.head = nn.Linear(2, 2)

    with pytest.raises(UserError, match="last: 1: Own does not list its blocks; use layers"):
        choose(Own(), 1, None)
    with pytest.raises(UserError, match=r"layers: scale: has parameters but no reset_parameters\(\)"):
        every_layer(Own())
    assert set(choose(Own(), None, ["head"])) == {"head"}


def test_initial_values_are_drawn_again_from_the_seed() -> None:
    network = ResNet(1, 10, width=4, depth=1)
    initialise(network, 3)
    for name, layer in every_layer(network).items():
        again = redrawn(layer, 3, "init", name)
        assert all(torch.equal(mine, new) for mine, new in zip(layer.parameters(), again.parameters(), strict=True))


def test_a_draw_has_the_distribution_of_a_new_layer() -> None:
    """PyTorch's: uniform within 1 / sqrt(fan in), hence of variance 1 / (3 fan in); batch norm one and zero."""
    for name, layer in every_layer(ResNet(3, 100, width=32, depth=1)).items():
        again = redrawn(layer, 0, "LayerReset", 7, name)
        weight = again.get_parameter("weight").detach()
        if isinstance(layer, nn.BatchNorm2d):
            assert again.get_buffer("running_var").eq(1).all()
            assert weight.eq(1).all()
        else:
            bound = weight[0].numel() ** -0.5
            assert weight.abs().max() <= bound
            assert weight.var() * 3 == pytest.approx(bound**2, rel=0.1), name
            assert not torch.equal(weight, layer.get_parameter("weight"))


def test_a_draw_leaves_layer_and_global_stream_alone() -> None:
    layer: Any = nn.BatchNorm2d(3)
    layer.running_mean += 5
    linear, before = nn.Linear(4, 4), torch.get_rng_state()
    one, same, other = (redrawn(linear, seed, "LayerReset", "x").get_parameter("weight") for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert redrawn(layer, 0, "x").get_buffer("running_mean").tolist() == [0, 0, 0]
    assert layer.running_mean.tolist() == [5, 5, 5]
