"""What layers make of images."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks import MLP, AllCNN, DepthCNN, Linear, ResNet
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import features
from plasticity_lab.measurements.activations import check_rectified, rectified
from plasticity_lab.measurements.features import block_outputs, last_features, last_layer


class ManyRelus(nn.Module):
    """Rectifies in every way there is."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True))
        self.linear, self.top = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.module(torch.relu(x)) - 1
        x = F.relu(self.linear(x)) - 1
        x = torch.tanh(x.relu()) - 0.1
        x = torch.relu_(x) - 0.1
        x = x.relu_()
        x += 1  # in place, after what was recorded
        logits: Tensor = self.top(x)
        return logits


def whole(number: int, output: Tensor) -> Tensor:
    return output.clone()


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_every_way_to_rectify_is_seen_once_and_belongs_to_the_block_that_ran_last() -> None:
    network, x = ManyRelus().double().eval(), images(6, 4)
    by_block = rectified(network, x, whole)
    assert {name: len(layers) for name, layers in by_block.items()} == {
        "input": 1,
        "module": 1,
        "linear": 4,
    }
    first = x.clamp(min=0)
    second = network.module[0](first).clamp(min=0)
    third = network.linear(second - 1).clamp(min=0)
    fourth = (third - 1).clamp(min=0)
    fifth = (torch.tanh(fourth) - 0.1).clamp(min=0)
    expected = [first, second, third, fourth, fifth, (fifth - 0.1).clamp(min=0)]
    actual = [layer for block in by_block.values() for layer in block]
    assert all(
        torch.equal(actual_layer, expected_layer)
        for actual_layer, expected_layer in zip(actual, expected, strict=True)
    )


SIZES: list[tuple[Any, dict[str, int]]] = [
    (
        ResNet(3, 5, depth=1, width=4),
        {"stem": 1, "layer1": 2, "layer2": 2, "layer3": 2, "layer4": 2},
    ),
    (
        ResNet(3, 5, depth=2, width=4, block="pre"),
        {"stem": 1, "layer1": 4, "layer2": 4, "layer3": 4, "layer4": 4},
    ),
    (AllCNN(3, 5, width=0.05), {f"conv{number}": 1 for number in range(1, 9)}),
    (DepthCNN(3, 5), {f"conv{number}": 1 for number in range(1, 6)}),
    (MLP(3, 5, 8, widths=[7, 6]), {"hidden1": 1, "hidden2": 1}),
    (MLP(3, 5, 8, widths=[7, 6], activation="tanh"), {}),
    (Linear(3, 5, 8), {}),
]


@pytest.mark.parametrize(("network", "counts"), SIZES, ids=lambda network: type(network).__name__)
def test_rectifiers_of_each_network_by_block(network: nn.Module, counts: dict[str, int]) -> None:
    network = network.double().eval()
    by_block = rectified(network, images(3, 3, 8, 8), whole)
    assert {name: len(layers) for name, layers in by_block.items()} == counts
    assert all(
        (layer >= 0).all() and (layer > 0).any() for layers in by_block.values() for layer in layers
    )


@pytest.mark.parametrize(
    "network", [network for network, _ in SIZES], ids=lambda network: type(network).__name__
)
def test_the_last_layer_makes_logits_of_the_last_features(network: nn.Module) -> None:
    network, x = network.double().eval(), images(3, 3, 8, 8)
    assert last_layer(network) == "head"
    features, head = last_features(network, x), network.get_submodule("head")
    again = head(features if isinstance(head, nn.Linear) else features[:, :, None, None]).flatten(1)
    torch.testing.assert_close(again, network(x), rtol=0, atol=1e-12)
    outputs = block_outputs(network, x)
    assert list(outputs) == list(network.blocks)  # type: ignore[arg-type]
    assert outputs["head"].shape[0] == 3
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_images_pass_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = ResNet(3, 5, depth=1, width=4).double().eval(), images(5, 3, 8, 8)
    once = last_features(network, x), block_outputs(network, x), rectified(network, x, whole)
    monkeypatch.setattr(features, "CHUNK", 2)
    parts = last_features(network, x), block_outputs(network, x), rectified(network, x, whole)
    torch.testing.assert_close(parts, once, rtol=0, atol=1e-12)


def test_a_network_without_blocks_has_its_last_linear_layer_last() -> None:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(1)
    ).double()
    assert last_layer(network) == "3"
    x = images(5, 4)
    assert torch.equal(last_features(network, x), network[:3](x))
    assert list(block_outputs(network, x)) == ["0", "1", "2", "3", "4"]
    with pytest.raises(UserError, match="Sequential: has no linear layer"):
        last_layer(nn.Sequential(nn.Flatten()))


def test_hooks_go_when_the_network_fails() -> None:
    network = ResNet(3, 5, depth=1, width=4)
    for function in (last_features, block_outputs):
        with pytest.raises(RuntimeError):
            function(network, torch.zeros(1, 4, 8, 8))
    with pytest.raises(RuntimeError):
        rectified(network, torch.zeros(1, 4, 8, 8), whole)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_a_network_without_rectifiers_is_refused() -> None:
    images = torch.zeros(2, 3, 8, 8)
    check_rectified(MLP(3, 5, 8, widths=[7]), images)
    with pytest.raises(UserError, match="network: has no ReLU"):
        check_rectified(MLP(3, 5, 8, widths=[7], activation="tanh"), images)
