"""Filters of a wide network in a narrower one."""

import copy
from typing import Any

import pytest
import torch
import torch_pruning
from torch import Tensor, nn

from lightning_modules.networks import VGG, CifarResNet, ConvN
from plasticity_lab.errors import UserError
from plasticity_lab.surgery import narrow_weights, slimmed_channels, trace_units

IMAGE = torch.zeros(1, 3, 32, 32)


def disturbed(network: nn.Module) -> nn.Module:
    """Draw parameters and statistics of a network, so that no two filters are alike."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=draws)
                tensor.copy_(drawn + 0.5 if name.endswith("running_var") else drawn - 0.5)
    return network.eval()


def without_units(network: Any, kept: dict[str, Tensor]) -> None:
    """Set the weights with which units feed others to 0, but for those that are kept."""
    units = trace_units(network, IMAGE).units
    with torch.no_grad():
        for name, places in kept.items():
            gone = torch.ones(units[name].count, dtype=torch.bool)
            gone[places] = False
            for consumer, inputs in units[name].consumers.items():
                network.get_submodule(consumer).weight[:, inputs[gone].flatten()] = 0


PAIRS: dict[str, tuple[nn.Module, nn.Module]] = {
    "VGG": (
        VGG(3, 10, 32, depth=11, width=0.25),
        VGG(3, 10, 32, depth=11, width=0.25, channels=[32, 128, 128, 256, 300, 512, 512, 40]),
    ),
    "ResNet": (
        CifarResNet(3, 10, depth=14),
        CifarResNet(3, 10, depth=14, inner=[8, 16, 20, 32, 5, 64]),
    ),
    "a flattened map": (ConvN(3, 10, 32, width=0.25), ConvN(3, 10, 32, width=0.125)),
    "CReLU": (
        VGG(3, 10, 32, depth=11, width=0.125, activation="crelu"),
        VGG(3, 10, 32, depth=11, width=0.0625, activation="crelu"),
    ),
}


@pytest.mark.parametrize("score", ["l1", "norm_gain"])
@pytest.mark.parametrize("name", PAIRS)
def test_removed_filters_are_as_filters_that_feed_nothing(name: str, score: Any) -> None:
    wide, narrow = PAIRS[name]
    if score == "norm_gain" and name == "a flattened map":
        with pytest.raises(UserError, match="no batch norm with gains behind it"):
            narrow_weights(narrow, IMAGE, disturbed(wide).state_dict(), score)
        return
    weights = {name: tensor.clone() for name, tensor in disturbed(wide).state_dict().items()}
    kept = {}
    narrow_state = narrow.state_dict()
    for layer, units in trace_units(wide, IMAGE).units.items():
        count = len(narrow_state[f"{layer}.weight"])
        values = (
            weights[f"{layer}.weight"].abs().sum((1, *range(2, weights[f"{layer}.weight"].ndim)))
        )
        if score == "norm_gain":
            values = weights[f"{next(iter(units.norms))}.weight"].abs()
        kept[layer] = values.topk(count).indices

    narrow.load_state_dict(narrow_weights(narrow, IMAGE, weights, score))
    without_units(wide, kept)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(narrow.eval()(images), wide(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["VGG", "ResNet"])
def test_filters_are_removed_as_by_torch_pruning(name: str) -> None:
    wide, narrow = map(copy.deepcopy, PAIRS[name])
    weights = {name: tensor.clone() for name, tensor in disturbed(wide).state_dict().items()}
    counts = {name: len(tensor) for name, tensor in narrow.state_dict().items() if tensor.ndim}
    graph = torch_pruning.DependencyGraph().build_dependency(wide, IMAGE)
    for layer, units in trace_units(wide, IMAGE).units.items():
        # The filters with the smallest L1 norms of the wide network, of which torch_pruning
        # removes what belongs to them.
        surplus = units.count - counts[f"{layer}.weight"]
        smallest = weights[f"{layer}.weight"].abs().sum((1, 2, 3)).argsort()[:surplus]
        if surplus:
            graph.get_pruning_group(
                wide.get_submodule(layer), torch_pruning.prune_conv_out_channels, smallest.tolist()
            ).prune()
    pruned = wide.state_dict()
    found = narrow_weights(narrow, IMAGE, weights)
    assert found.keys() == pruned.keys()
    assert all(torch.equal(found[name], pruned[name]) for name in pruned)


def test_the_same_network_has_the_same_weights() -> None:
    weights = disturbed(VGG(3, 10, 32, depth=11, width=0.25)).state_dict()
    same = narrow_weights(VGG(3, 10, 32, depth=11, width=0.25), IMAGE, weights)
    assert all(torch.equal(same[name], weights[name]) for name in weights)


def test_filters_in_a_residual_sum_are_not_chosen() -> None:
    wide, narrow = CifarResNet(3, 10, depth=8), CifarResNet(3, 10, depth=8, width=8)
    kept = narrow_weights(narrow, IMAGE, wide.state_dict())
    # Those in the sum keep their width, which the check of shapes then refuses.
    assert len(kept["layer1.0.conv1.weight"]) == 8
    assert len(kept["layer1.0.conv2.weight"]) == 16


def test_a_wide_network_of_another_kind_is_refused() -> None:
    narrow = ConvN(3, 10, 32, width=0.125)
    for wide in (ConvN(3, 10, 16, width=0.25), VGG(3, 10, 32, depth=11, width=0.25)):
        state = wide.state_dict()
        if isinstance(wide, VGG):
            narrow = VGG(3, 10, 32, depth=13, width=0.125)  # type: ignore[assignment]
        with pytest.raises(UserError, match="has other inputs in the wide network"):
            narrow_weights(narrow, IMAGE, state)


def test_slimming_has_one_threshold_and_leaves_each_layer_a_channel() -> None:
    gains = {
        "a": torch.tensor([0.1, -0.5, 0.3, 0.2]),
        "b": torch.tensor([0.05, 0.9, 0.4, 0.25]),
        "c": torch.tensor([0.01, 0.02]),
    }
    # Index 5 of ten magnitudes in order is 0.25.
    assert slimmed_channels(gains, 0.5) == {"a": 2, "b": 2, "c": 1}
    assert slimmed_channels({name: gains[name] for name in "ab"}, 0.5) == {"a": 1, "b": 2}
    with pytest.raises(UserError, match="share"):
        slimmed_channels(gains, 1.0)
