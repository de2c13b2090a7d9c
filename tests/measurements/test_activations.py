"""What activations make of images, of whatever kind and however a network stores its maps."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks import MLP, VGG, TorchvisionNetwork, ViT
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.activations import activated, check_activated, rectified
from plasticity_lab.measurements.dormant_units import magnitudes
from plasticity_lab.measurements.features import last_features, last_layer


def whole(number: int, output: Tensor) -> Tensor:
    return output.clone()


def shapes(network: nn.Module, images: Tensor) -> list[tuple[int, ...]]:
    by_block = activated(network.eval(), images, whole)
    return [tuple(layer.shape) for layers in by_block.values() for layer in layers]


HIDDEN: list[nn.Module] = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.LeakyReLU(),
    nn.PReLU(),
    nn.ELU(),
    nn.SELU(),
    nn.CELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Softplus(),
    nn.Hardswish(),
    nn.Tanh(),
]


@pytest.mark.parametrize("layer", HIDDEN, ids=repr)
def test_every_activation_of_hidden_units_is_seen_once(layer: nn.Module) -> None:
    network, x = nn.Sequential(nn.Linear(4, 3), layer, nn.Linear(3, 2)), torch.randn(6, 4)
    by_block = activated(network, x, whole)
    assert list(by_block) == ["1"]
    (output,) = by_block["1"]
    with torch.no_grad():
        assert torch.equal(output, layer(network[0](x)))
    assert bool(rectified(network, x, whole)) == (type(layer) is nn.ReLU)


def test_functions_count_and_gates_do_not() -> None:
    class Functions(nn.Module):
        """Activates by functions, and gates."""

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(x) + F.gelu(x) + x.tanh() + F.silu(x)
            return x * x.sigmoid() * F.hardsigmoid(x) * x.softmax(1)

    assert shapes(Functions(), torch.randn(2, 3)) == [(2, 3)] * 4


class UnitsLast(nn.Module):
    """Maps of a convolution, whose units stand last while a linear layer acts on them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear, self.conv1d = (
            nn.Conv2d(3, 5, 1),
            nn.Linear(5, 7),
            nn.Conv1d(7, 9, 1),
        )
        self.head = nn.Linear(9, 2)
        self.blocks = ("conv", "linear", "conv1d", "head")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        x = F.gelu(self.linear(x.permute(0, 2, 3, 1)))
        x = F.relu(self.conv1d(x.flatten(1, 2).transpose(1, 2)))
        logits: Tensor = self.head(x.mean(2))
        return logits


def test_units_are_found_where_the_last_layer_puts_them() -> None:
    network, x = UnitsLast(), torch.randn(2, 3, 4, 6)
    assert shapes(network, x) == [(2, 5, 4, 6), (2, 7, 4, 6), (2, 24, 9)]
    activity = activated(network, x, lambda number, output: magnitudes(output))
    with torch.no_grad():
        maps = F.relu(network.conv(x))
        hidden = F.gelu(network.linear(maps.permute(0, 2, 3, 1)))
    torch.testing.assert_close(activity["linear"][0], hidden.abs().mean((1, 2)))
    assert activity["conv1d"][0].shape == (2, 9)


def test_units_of_networks() -> None:
    images = torch.randn(2, 3, 32, 32)
    vit = ViT(3, 10, 32, patch=8, depth=2, width=12)
    assert shapes(vit, images) == [(2, 17, 48)] * 2
    crelu = MLP(3, 10, 32, [8, 6], "layer", "crelu")
    assert shapes(crelu, images) == [(2, 16), (2, 12)]
    assert shapes(VGG(3, 10, 32, 11, 0.0625, "none", "tanh"), images)[0] == (2, 4, 32, 32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first"), [("convnext_tiny", (2, 384, 8, 8)), ("swin_t", (2, 384, 8, 8))]
)
def test_units_of_networks_that_store_maps_units_last(name: str, first: tuple[int, ...]) -> None:
    network: Any = TorchvisionNetwork(3, 10, 32, name)
    assert shapes(network, torch.randn(2, 3, 32, 32))[0] == first


def test_a_network_without_activations_is_refused() -> None:
    check_activated(MLP(3, 5, 8, widths=[7], activation="tanh"), torch.zeros(2, 3, 8, 8))
    with pytest.raises(UserError, match=r"network: has no activation .*; remove it"):
        check_activated(nn.Linear(3, 2), torch.zeros(2, 3))


def test_the_last_layer_of_a_last_block_of_several_is_the_one_that_makes_the_outputs() -> None:
    class Several(nn.Module):
        """Ends in a block of two linear layers."""

        blocks = ("body", "head")

        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 4)
            last = nn.Sequential(nn.Dropout(), nn.Linear(5, 2), nn.LayerNorm(2))
            self.head = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), last)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.body(x))
            return logits

    network, x = Several().eval(), torch.randn(6, 3)
    assert last_layer(network) == "head.2.1"
    with torch.no_grad():
        expected = F.relu(network.head[0](network.body(x)))
    assert torch.equal(last_features(network, x), expected)
    assert last_layer(TorchvisionNetwork(1, 10, 32, "mobilenet_v3_small")) == "model.classifier.3"
