"""Auxiliary heads, which nothing takes for the network's own."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks import MLP, AllCNN, AuxiliaryHeadsNetwork
from lightning_modules.optimizers import MuonAdamW
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import fisher_trace, last_features
from plasticity_lab.measurements.features import last_layer
from plasticity_lab.surgery import (
    construct,
    init_parameters,
    reset_layers,
    reset_units,
    select_layers,
    select_units,
)
from tests.callbacks.interventions.arms import AUXILIARY, intervention
from tests.networks import SparePartNet
from tests.runs import tiny
from tests.test_bad_input import refused

INNER: list[tuple[type[nn.Module], dict[str, Any]]] = [
    (MLP, {"widths": [12, 8], "norm": "none"}),
    (AllCNN, {"width": 0.05}),
]


def wrapped(kind: type[nn.Module], options: dict[str, Any]) -> Any:
    network = construct(AuxiliaryHeadsNetwork, 1, 4, 8, kind, options, heads=3)
    init_parameters(network, 0)
    return network.eval()


@pytest.mark.parametrize(("kind", "options"), INNER)
def test_outputs_features_and_fisher_information_are_those_of_the_network(
    kind: type[nn.Module], options: dict[str, Any]
) -> None:
    network, images = wrapped(kind, options), torch.randn(6, 1, 8, 8)
    inner = network.network
    assert torch.equal(network(images), inner(images))
    assert last_layer(network) == f"network.{last_layer(inner)}"
    features = last_features(network, images)
    assert torch.equal(features, last_features(inner, images))
    assert features.shape[1] == network.auxiliary.in_features
    traces = [
        fisher_trace(one, images, torch.Generator().manual_seed(0)).total
        for one in (network, inner)
    ]
    assert traces[0] == pytest.approx(traces[1], rel=1e-6)


@pytest.mark.parametrize(("kind", "options"), INNER)
def test_heads_have_a_gradient_of_nothing_and_see_the_features(
    kind: type[nn.Module], options: dict[str, Any]
) -> None:
    network, images = wrapped(kind, options), torch.randn(6, 1, 8, 8)
    seen: list[Tensor] = []
    network.auxiliary.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    network(images).square().sum().backward()
    assert all(not value.grad.any() for value in network.auxiliary.parameters())
    features = last_features(network, images)
    expected = features @ network.auxiliary.weight.T + network.auxiliary.bias
    torch.testing.assert_close(seen[0], expected)


def test_the_last_block_and_the_last_matrix_are_the_networks_head() -> None:
    network = wrapped(*INNER[0])
    layers = select_layers(network, last=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    reset_layers(network, layers, key=lambda name: (1, "test", name))
    after = network.state_dict()
    changed = [name for name in after if not after[name].equal(before[name])]
    assert changed == ["network.head.weight", "network.head.bias"]
    matrices = MuonAdamW(network.parameters()).param_groups[0]["params"]
    assert not any(value is network.network.head.weight for value in matrices)


@pytest.mark.parametrize(("kind", "options"), INNER)
def test_units_that_are_recycled_feed_the_heads_no_more(
    kind: type[nn.Module], options: dict[str, Any]
) -> None:
    network, images = wrapped(kind, options), torch.randn(6, 1, 8, 8)
    units = select_units(network, images[:1])
    last = list(units)[-1]
    assert {*units[last].consumers} == {"auxiliary", "network.head"}
    assert "auxiliary" not in units

    chosen = torch.zeros(units[last].count, dtype=torch.bool)
    chosen[1] = True
    reset_units(network, units, {last: chosen}, key=lambda name: (1, "test", name))
    for layer in (network.auxiliary, network.network.head):
        assert layer.weight.flatten(1).abs().sum(0).eq(0).nonzero().flatten().tolist() == [1]


def test_what_has_no_heads_is_refused() -> None:
    with pytest.raises(UserError, match="heads: 0: set 1 or more; the paper's is 10"):
        AuxiliaryHeadsNetwork(1, 4, 8, heads=0)
    with pytest.raises(UserError, match=r"SparePartNet.*'spare' is never called in forward"):
        AuxiliaryHeadsNetwork(1, 4, 8, SparePartNet)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a network without heads": (
        {},
        "InFeR: SmallNet has no auxiliary heads; use lightning_modules.networks.AuxiliaryHeads",
    ),
    "a compiled network": (
        {"model": {"init_args": {"network": AUXILIARY, "compile": True}}},
        "InFeR: a compiled network hides its heads; set compile: false",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_infer_cannot_work_with(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = REFUSED[case]
    acting = {"trainer": {"callbacks+": [intervention("InFeR", levels={"0ep": 0.1})]}}
    refused(["fit", *tiny(acting, fragment)], message, capsys)
