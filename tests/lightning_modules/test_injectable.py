"""A network in an encoder and a head."""

from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.networks import MLP, InjectableNetwork, Linear, ResNet, ViT
from plasticity_lab.errors import UserError
from tests.networks import SmallNet
from tests.own_networks import Lazy


def build(network: type[nn.Module], last: int = 2, **options: Any) -> InjectableNetwork:
    return InjectableNetwork(3, 10, 32, network, options, last)


def test_the_head_is_the_last_blocks() -> None:
    network = build(ResNet, depth=1, width=2)
    assert network.blocks == (*(f"encoder.{name}" for name in ResNet.blocks[:-2]), "head")
    names = dict(network.named_parameters())
    assert {name.split(".")[0] for name in names} == {"encoder", "head"}
    for part in ("base", "trained", "subtracted"):
        assert f"head.{part}.layer4.0.conv1.weight" in names
        assert f"head.{part}.head.bias" in names
    torch.manual_seed(0)
    inner = ResNet(3, 10, depth=1, width=2)
    torch.manual_seed(0)
    images = torch.ones(2, 3, 32, 32)
    assert torch.equal(build(ResNet, depth=1, width=2)(images), inner(images))


def test_lazy_layers_take_their_sizes_first() -> None:
    network = InjectableNetwork(1, 10, 16, Lazy, last=3)
    assert network(torch.ones(2, 1, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize(
    ("kind", "last", "options", "message"),
    [
        (Linear, 1, {}, r"last: 1: .* \(head\) is one linear .*; use a network with a hidden"),
        (Linear, 2, {}, r"last: 2: Linear has 1 blocks \(head\)"),
        (MLP, 0, {"widths": [4]}, r"last: 0: MLP has 2 blocks \(hidden1, head\)"),
        (MLP, 1, {"widths": [4]}, "last: 1: .* of which an injection is an optim.*; set last: 2"),
        (ViT, 2, {"depth": 1}, r"head of ViT \(norm, head\) is one linear .*; set last: 3"),
        (SmallNet, 2, {}, "last: 2: SmallNet: its head draws random numbers in training"),
    ],
)
def test_what_has_no_such_head_is_refused(
    kind: type[nn.Module], last: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build(kind, last, **options)
