"""Which weights a unit has, and which it feeds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from lightning_modules.networks import MLP, VGG, ConvN, Linear, ResNet, ViT
from plasticity_lab.errors import UserError
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.surgery import Units, construct, init_parameters, select_units, trace_units
from plasticity_lab.surgery.unit_marks import codes_of
from tests.network_table import TinyVisionTransformer
from tests.networks import SmallNet, TokenNet

IMAGE = torch.zeros(1, 1, 16, 16)
TINY_RESNET: dict[str, Any] = {"depth": 1, "width": 2}
TINY_VIT: dict[str, Any] = {"patch": 8, "depth": 1, "width": 12, "heads": 2}


class ClassToken(nn.Module):
    """Units whose inputs of the next layer a class token shares, at another place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)
        self.token = nn.Parameter(torch.zeros(1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), self.first(x)[:, None].relu()], 1)
        logits: Tensor = self.second(tokens)[:, 0]
        return logits


class Concatenated(nn.Module):
    """Units of two layers side by side, the second's in turn order."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.left(x).relu(), self.right(x).relu().flip(1)], 1)
        logits: Tensor = self.head(both)
        return logits


class Pooled(nn.Module):
    """Pooling, clamping and reshaping between layers, none of which loses NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 3, 3), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.max_pool2d(self.conv(x).relu().clamp(max=6), 2)
        maps = F.adaptive_max_pool2d(F.avg_pool2d(maps, 2), 2)
        logits: Tensor = self.head(
            F.dropout(maps.permute(0, 2, 3, 1).flatten(1), 0.5, self.training)
        )
        return logits


def columns(units: Units, consumer: str) -> list[list[int]]:
    return [sorted(places) for places in units.consumers[consumer].tolist()]


def test_codes_are_of_one_size_and_tell_units_and_their_mixtures_apart() -> None:
    for count in (2, 3, 7, 64):
        codes = codes_of(count)
        sizes = codes.sum(0)
        assert len({tuple(code) for code in codes.T.tolist()}) == count
        assert (sizes == sizes[0]).all()
        mixed = codes[:, :1] | codes[:, 1:]
        assert (mixed.sum(0) > sizes[0]).all()


def test_a_chain_of_linear_layers() -> None:
    found = trace_units(MLP(1, 10, 16, [8, 6]), IMAGE)
    assert list(found.units) == ["hidden1.linear", "hidden2.linear"]
    first = found.units["hidden1.linear"]
    assert columns(first, "hidden2.linear") == [[unit] for unit in range(8)]
    assert first.norms["hidden1.norm"].flatten().tolist() == list(range(8))
    assert list(first.activations) == [0]
    assert found.refused == {"head": "its units reach the output of the network"}


def test_a_flattened_convolution_feeds_several_inputs_for_each_unit() -> None:
    found = trace_units(Pooled(), IMAGE)
    assert columns(found.units["conv"], "head") == [
        [unit + 3 * place for place in range(4)] for unit in range(3)
    ]
    places = trace_units(ConvN(1, 10, 16, depth=2), IMAGE).units["conv2.conv"]
    assert columns(places, "hidden1.linear")[1] == list(range(64, 128))


def test_concatenation_keeps_units_apart() -> None:
    crelu = trace_units(MLP(1, 10, 16, [8], norm="layer", activation="crelu"), IMAGE)
    assert columns(crelu.units["hidden1.linear"], "head") == [[unit, unit + 8] for unit in range(8)]
    both = trace_units(Concatenated(), torch.zeros(1, 3))
    assert columns(both.units["left"], "head") == [[0], [1]]
    assert columns(both.units["right"], "head") == [[3], [2]]


def test_what_is_embedded_is_followed() -> None:
    network = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    found = trace_units(network, torch.zeros(1, 5, dtype=torch.int64))
    assert columns(found.units["1"], "3") == [[0], [1], [2]]


def test_what_a_norm_gives_out_may_be_changed_in_place() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.head = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.first(x)
            nothing = self.norm(hidden).zero_()
            logits: Tensor = self.head(hidden.relu()) + nothing.sum()
            return logits

    assert "first" in trace_units(InPlace(), torch.zeros(1, 3)).units


def test_the_first_convolution_of_a_residual_block_alone() -> None:
    for block in ("post", "pre"):
        found = trace_units(ResNet(1, 10, **TINY_RESNET, block=block), IMAGE)
        assert list(found.units) == [f"layer{number}.0.conv1" for number in range(1, 5)]
        joined = [name for name, reason in found.refused.items() if "a residual sum" in reason]
        assert {"stem.conv", "layer1.0.conv2", "layer2.0.conv2"} <= {*joined}


@pytest.mark.parametrize("kind", ["ours", "torchvision"])
def test_of_a_transformer_the_hidden_units_alone(kind: str) -> None:
    if kind == "ours":
        found = trace_units(ViT(1, 10, 16, **TINY_VIT), IMAGE)
        assert list(found.units) == ["block1.mlp.linear1"]
        assert {f"block1.attention.{part}" for part in "qkv"} <= {*found.refused}
    else:
        found = trace_units(TinyVisionTransformer(10, 16), IMAGE)
        assert list(found.units) == ["encoder.layers.encoder_layer_0.mlp.0"]


def test_queries_keys_and_values_of_attention_are_refused() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))
            self.out = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.q(x).relu(), self.k(x).relu(), self.v(x).relu()
            logits: Tensor = self.out(F.scaled_dot_product_attention(q, k, v)).mean(1)
            return logits

    found = trace_units(Attention(), torch.zeros(1, 3, 4))
    # How much of each value is taken depends on queries and keys.
    assert found.refused["v"] == (
        "other values join its units on their way to 'out' (a residual sum)"
    )
    assert found.refused["q"] == found.refused["k"] == found.refused["v"]


@pytest.mark.parametrize(
    ("network", "layer", "reason"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), "0", "pass no activation"),
        (ClassToken(), "first", "other values join"),
        (
            nn.Sequential(
                parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 2)
            ),
            "0",
            "its weight is computed from others",
        ),
        (
            nn.Sequential(
                nn.Linear(3, 4), nn.ReLU(), parametrizations.weight_norm(nn.Linear(4, 2))
            ),
            "0",
            "feeds '2', whose weight is computed",
        ),
        (
            nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2).requires_grad_(False)),
            "0",
            "feeds '2', which is frozen",
        ),
        (
            nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Bilinear(4, 4, 2)),
            "0",
            None,
        ),
        (nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 2)), "0", "a single unit"),
    ],
)
def test_what_is_ambiguous_is_refused_with_a_reason(
    network: nn.Module, layer: str, reason: str | None
) -> None:
    if reason is None:
        with pytest.raises(UserError, match="cannot be traced"):
            trace_units(network, torch.zeros(1, 3))
        return
    found = trace_units(network, torch.zeros(1, 3))
    assert reason in found.refused.get(layer, "")


def test_a_norm_that_is_frozen_or_has_other_parameters_than_units_is_refused() -> None:
    frozen = SmallNet(1, 10)
    frozen.norm.requires_grad_(False)
    assert trace_units(frozen, IMAGE).refused["conv"] == "its units pass 'norm', which is frozen"
    of_positions = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.LayerNorm([3, 4, 4]), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)
    )
    refused = trace_units(of_positions, torch.zeros(1, 1, 6, 6)).refused
    assert refused["0"] == "its units pass '1', whose parameters are not one for each channel"


def test_a_path_that_hides_marks_is_refused() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 4)
            self.second, self.third = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.first(x)
            lost = torch.where(hidden > 0, hidden, torch.zeros(()))
            logits: Tensor = self.second(hidden.relu()) + self.third(lost)
            return logits

    refused = trace_units(Hidden(), torch.zeros(1, 3)).refused
    assert refused["first"] == "where its units go cannot be followed"


def test_shared_weights_are_refused() -> None:
    found = trace_units(TokenNet(1, 10), IMAGE)
    assert found.refused["conv"] == "it feeds 'head', which shares parameters with 'twin'"
    assert found.refused["head"] == "it shares parameters with 'twin'"
    layer = nn.Linear(3, 3)
    twice = trace_units(
        nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(3, 2)), IMAGE[0, 0, :1, :3]
    )
    assert twice.refused["0"] == "it is called 2 times in a forward pass"


def test_a_chosen_layer_that_is_ambiguous_is_refused_by_name() -> None:
    network = ResNet(1, 10, **TINY_RESNET)
    assert list(select_units(network, IMAGE, ["layer2.0.conv1"])) == ["layer2.0.conv1"]
    assert list(select_units(network, IMAGE, ["layer?.0.conv1"])) == list(
        select_units(network, IMAGE)
    )
    with pytest.raises(
        UserError, match=r"layers: layer1.0.conv2: cannot be recycled: other values"
    ):
        select_units(network, IMAGE, ["layer1"])
    with pytest.raises(UserError, match="layers: conv9: matches nothing"):
        select_units(network, IMAGE, ["conv9"])
    with pytest.raises(UserError, match=r"layers: layer1.0.norm1: have no units"):
        select_units(network, IMAGE, ["layer1.0.norm1"])
    with pytest.raises(UserError, match="Linear: has no layer whose units can be recycled"):
        select_units(Linear(1, 10, 16), IMAGE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: construct(SmallNet, 1, 10),
        lambda: construct(VGG, 1, 10, 16, depth=11, width=0.04),
        lambda: construct(ViT, 1, 10, 16, **TINY_VIT),
    ],
)
def test_tracing_leaves_everything_as_it_was(make: Callable[[], Any]) -> None:
    network = make()
    init_parameters(network, 0)
    before, modes = state_hash(network.state_dict()), [part.training for part in network.modules()]
    stream = torch.get_rng_state()
    first, second = trace_units(network, IMAGE), trace_units(network, IMAGE)
    assert list(first.units) == list(second.units)
    assert state_hash(network.state_dict()) == before
    assert [part.training for part in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), stream)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
