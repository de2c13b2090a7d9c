"""Normalisations and activations of the networks, and what CReLU makes of their widths."""

from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.networks import MLP, VGG, AllCNN, ConvN, DepthCNN, LeNet300, ResNet
from lightning_modules.networks.layers import CReLU, linear_block, normalisation
from plasticity_lab.errors import UserError


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_crelu_has_both_parts() -> None:
    x = torch.tensor([[1.0, -2.0, 0.5]])
    assert CReLU()(x).tolist() == [[1, 0, 0.5, 0, 2, 0]]
    maps = torch.randn(2, 3, 4, 5)
    both = CReLU()(maps)
    assert both.shape == (2, 6, 4, 5)
    assert torch.equal(both[:, :3] - both[:, 3:], maps)


FAMILIES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "mlp": (MLP, {"image_size": 16, "widths": [12, 8]}, {"image_size": 16, "widths": [6, 4]}),
    "all-cnn": (AllCNN, {"width": 0.125}, {"width": 0.0625}),
    "resnet": (ResNet, {"width": 8, "block": "pre"}, {"width": 4, "block": "pre"}),
    "vgg": (VGG, {"image_size": 16, "width": 0.25}, {"image_size": 16, "width": 0.125}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_crelu_half_is_crelu_at_half_the_width(name: str) -> None:
    kind, wide, narrow = FAMILIES[name]
    half = kind(3, 10, **wide, activation="crelu_half")
    whole = kind(3, 10, **narrow, activation="crelu")
    assert {key: value.shape for key, value in half.state_dict().items()} == {
        key: value.shape for key, value in whole.state_dict().items()
    }
    assert half(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_crelu_doubles_or_halves_parameters_in_every_layer_but_one() -> None:
    layers: dict[str, list[int]] = {}
    activations: list[Any] = ["relu", "crelu", "crelu_half"]
    for activation in activations:
        network: Any = MLP(1, 10, 4, [32, 16, 8], "none", activation)
        layers[activation] = [
            layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear)
        ]
    assert layers["crelu"] == [32 * 16, 2 * 16 * 32, 2 * 8 * 16, 2 * 8 * 10]
    plain = layers["relu"]
    assert layers["crelu"] == [plain[0], *(2 * size for size in plain[1:])]
    assert layers["crelu_half"] == [*(size // 2 for size in plain[:-1]), plain[-1]]


def test_norms_of_maps_and_of_units() -> None:
    maps = torch.randn(4, 32, 5, 5)
    group, layer = normalisation("group", 32), normalisation("layer", 32)
    assert isinstance(group, nn.GroupNorm)
    assert group.num_groups == 2
    expected = nn.functional.layer_norm(maps, maps.shape[1:])
    torch.testing.assert_close(layer(maps), expected)
    assert count(layer) == 2 * 32, "a scale and a shift for each channel"
    units = torch.randn(4, 32)
    block: Any = linear_block(32, 32, "layer", "tanh")
    expected = torch.tanh(nn.functional.layer_norm(block.linear(units), (32,)))
    torch.testing.assert_close(block(units), expected)
    assert isinstance(linear_block(3, 8, "group", "relu").norm, nn.GroupNorm)
    assert not hasattr(linear_block(3, 8, "none", "relu"), "norm")


@pytest.mark.parametrize("norm", ["none", "batch", "group", "layer"])
@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "gelu", "tanh", "crelu", "crelu_half"]
)
def test_every_norm_goes_with_every_activation(norm: Any, activation: Any) -> None:
    networks = [
        MLP(1, 10, 16, [8], norm, activation),
        AllCNN(1, 10, 0.0625, norm, activation),
        DepthCNN(1, 10, 1, norm, activation),
        ResNet(1, 10, 1, 4, block="pre", norm=norm, activation=activation),
        VGG(1, 10, 16, 11, 0.0625, norm, activation),
        ConvN(1, 10, 16, 2, norm, activation),
        LeNet300(1, 10, 16, norm, activation),
    ]
    for network in networks:
        logits = network(torch.randn(2, 1, 16, 16))
        assert logits.shape == (2, 10)
        logits.logsumexp(1).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MLP(3, 10, 8, widths=[5], activation="crelu_half"),
            "activation: crelu_half: halves the width of every layer, and one is 5; set even",
        ),
        (
            lambda: ResNet(3, 10, width=8, activation="crelu"),
            "activation: crelu: after the sum it doubles the channels, .*; set block: pre",
        ),
    ],
)
def test_crelu_where_it_does_not_fit_is_one_line(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
