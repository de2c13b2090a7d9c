"""Two parts that are the network."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.split_network import split_network
from tests.lightning_modules.test_networks import NETWORKS
from tests.networks import BranchingNet, SmallNet, SparePartNet, TokenNet


@pytest.mark.parametrize("name", NETWORKS)
def test_one_after_the_other_they_are_the_network(name: str) -> None:
    network: Any = copy.deepcopy(NETWORKS[name]).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    last = network.blocks[-2:]
    encoder, head = split_network(network, last)
    assert torch.equal(head(encoder(images)), network(images))
    parts = {**dict(encoder.named_parameters()), **dict(head.named_parameters())}
    assert {full: id(value) for full, value in parts.items()} == {
        full: id(value) for full, value in network.named_parameters()
    }
    tops = [full.split(".")[0] for full, _ in head.named_parameters()]
    assert list(dict.fromkeys(tops)) == list(last)


def test_what_lies_between_belongs_to_the_head() -> None:
    network = SmallNet(1, 10, dropout=0.5)
    encoder, head = split_network(network, ["norm", "head"])
    assert [name for name, _ in head.named_children()] == ["norm", "dropout", "head"]
    assert [name for name, _ in encoder.named_children()] == ["conv"]
    with torch.no_grad():
        features = encoder.eval()(torch.ones(1, 1, 8, 8))
        assert torch.equal(features, network.conv(torch.ones(1, 1, 8, 8)))
    modes = {part.training for part in head.modules()}
    assert modes == {True}, "a split changes no mode"


class Residual(nn.Module):
    """A sum around one layer, or around two."""

    def __init__(self, around: int) -> None:
        super().__init__()
        self.first, self.second, self.head = (nn.Linear(4, 4) for _ in range(3))
        self.around = around

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        outputs: Tensor = self.head(self.second(first)) + (first if self.around == 2 else x)
        return outputs


class Beside(Residual):
    """Two layers of which neither depends on the other."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.first(x)) + self.second(x)
        return outputs


class Functional(Residual):
    """Dropout of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.head(self.second(self.first(x))), training=self.training)


class Sharing(Residual):
    """A layer that is used twice."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.second(self.first(self.head(x))))
        return outputs


def test_a_sum_within_the_head_is_a_part_of_it() -> None:
    network, x = Residual(around=2), torch.randn(3, 4)
    encoder, head = split_network(network, ["second", "head"])
    assert torch.equal(head(encoder(x)), network(x))


@pytest.mark.parametrize(
    ("network", "blocks", "message"),
    [
        (Residual(around=1), ["second", "head"], "more than one value enters .* second on: first"),
        (Beside(1), ["second", "head"], "its block second does not lie above head; begin the head"),
        (Functional(1), ["second", "head"], "its own forward.* does something else in training"),
        (Sharing(1), ["second"], r"uses head.weight, head.bias below second, too"),
        (TokenNet(1, 10), ["conv", "head"], "more than one value .* conv on: token, x; begin"),
        (SparePartNet(1, 10), ["head", "spare"], "its block spare is never called in forward"),
        (
            BranchingNet(1, 10),
            ["conv", "head"],
            "its forward.. cannot be traced: .*control flow; use a network",
        ),
    ],
)
def test_what_cannot_be_parted_is_refused_by_name(
    network: nn.Module, blocks: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{type(network).__name__}: {message}"):
        split_network(network, blocks)
