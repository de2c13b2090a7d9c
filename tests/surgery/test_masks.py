"""Masks against numbers of the published codes and against torch's pruning."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop, Rprop

from lightning_modules.optimizers import UPGD, MuonAdamW
from plasticity_lab.errors import UserError
from plasticity_lab.surgery import hold_masks, prune_masks, shuffle_masks

WEIGHTS = {
    "a": torch.tensor([[0.1, -0.2, 0.3], [-0.4, 0.5, -0.6]]),
    "b": torch.tensor([[0.05, -0.9], [0.7, 0.25]]),
}
"""Those of which the released functions have printed the masks below."""

SCORES = {name: weight.abs() for name, weight in WEIGHTS.items()}
DENSE = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in WEIGHTS.items()}


def shown(masks: dict[str, Tensor]) -> dict[str, list[list[int]]]:
    return {name: mask.int().tolist() for name, mask in masks.items()}


def test_layers_lose_what_the_code_of_the_paper_removes_less_its_one_weight_too_many() -> None:
    """google-research/lottery-ticket-hypothesis removes round(p n) + 1 weights of each layer."""
    # Its shares 0.2 and 0.5 remove 2 and 4 of six weights, 2 and 3 of four.
    fifth = prune_masks(SCORES, DENSE, {"a": 2 / 6, "b": 2 / 4})
    assert shown(fifth) == {"a": [[0, 0, 1], [1, 1, 1]], "b": [[0, 1], [1, 0]]}
    half = prune_masks(SCORES, DENSE, {"a": 4 / 6, "b": 3 / 4})
    assert shown(half) == {"a": [[0, 0, 0], [0, 1, 1]], "b": [[0, 1], [0, 0]]}


def test_global_rounds_are_those_of_open_lth_less_its_one_weight_too_many() -> None:
    """facebookresearch/open_lth removes ceil(p n) + 1 of all: 3 of ten, then 3 of seven."""
    first = prune_masks(SCORES, DENSE, 0.3)
    assert shown(first) == {"a": [[0, 0, 1], [1, 1, 1]], "b": [[0, 1], [1, 1]]}
    second = prune_masks(SCORES, first, 3 / 7)
    assert shown(second) == {"a": [[0, 0, 0], [0, 1, 1]], "b": [[0, 1], [1, 0]]}


@pytest.mark.parametrize("rounds", [1, 3])
def test_global_pruning_is_that_of_torch(rounds: int) -> None:
    generator = torch.Generator().manual_seed(0)
    layers: list[Any] = [nn.Linear(7, 5), nn.Conv2d(3, 4, 3)]
    for layer in layers:
        with torch.no_grad():
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    scores = {str(number): layer.weight.detach().abs() for number, layer in enumerate(layers)}
    masks = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    for _ in range(rounds):
        masks = prune_masks(scores, masks, 0.2)
        torch_prune.global_unstructured(
            [(layer, "weight") for layer in layers], torch_prune.L1Unstructured, amount=0.2
        )
    for name, layer in zip(masks, layers, strict=True):
        assert torch.equal(masks[name], layer.weight_mask.bool())


def test_ties_go_in_order_and_the_last_weight_can_go() -> None:
    scores = {"a": torch.zeros(4)}
    masks = {"a": torch.ones(4, dtype=torch.bool)}
    assert prune_masks(scores, masks, 0.5)["a"].tolist() == [False, False, True, True]
    assert not prune_masks(scores, masks, 1.0)["a"].any()
    assert prune_masks(scores, masks, 0.0)["a"].all()
    with pytest.raises(UserError, match="share"):
        prune_masks(scores, masks, 1.5)


def test_a_shuffled_mask_has_as_many_of_each_layer_elsewhere() -> None:
    masks = {"a": torch.arange(100) < 20, "b": torch.arange(50).view(5, 10) < 40}
    shuffled = shuffle_masks(masks, lambda name: torch.Generator().manual_seed(ord(name)))
    for name, mask in masks.items():
        assert shuffled[name].sum() == mask.sum()
        assert shuffled[name].shape == mask.shape
        assert not torch.equal(shuffled[name], mask)


OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "SGD": lambda network: SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=0.1),
    "Adam": lambda network: Adam(network.parameters(), 0.1, weight_decay=0.1),
    "AdamW": lambda network: AdamW(network.parameters(), 0.1, weight_decay=0.1),
    "NAdam": lambda network: NAdam(network.parameters(), 0.1),
    "RMSprop": lambda network: RMSprop(network.parameters(), 0.1, momentum=0.9),
    "Rprop": lambda network: Rprop(network.parameters(), 0.1),
    "MuonAdamW": lambda network: MuonAdamW(network.parameters(), 0.1),
    "UPGD": lambda network: UPGD(network.parameters(), 0.1, sigma=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_stay_zero_under(name: str) -> None:
    """Also those that had momentum when they were pruned, and with an optimizer that adds noise."""
    torch.manual_seed(0)
    first = nn.Linear(6, 5)
    network = nn.Sequential(first, nn.Tanh(), nn.Linear(5, 2))
    optimizer = OPTIMIZERS[name](network)
    masks: dict[nn.Parameter, Tensor] = {}
    release = hold_masks(optimizer, masks)
    inputs, targets = torch.randn(8, 6), torch.randint(2, (8,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    for _ in range(3):
        step()
    weight = cast(nn.Parameter, first.weight)
    masks[weight] = torch.rand(weight.shape) < 0.5
    moved = weight.detach().clone()
    for _ in range(5):
        step()
        assert not weight[~masks[weight]].any()
    assert (weight != moved)[masks[weight]].any()
    moments = [value for value in optimizer.state[weight].values() if isinstance(value, Tensor)]
    held = [value for value in moments if value.shape == weight.shape]
    if name != "Rprop":  # its sizes of steps do not begin at 0
        assert not any(value[~masks[weight]].any() for value in held)

    release()
    step()
    assert name == "Rprop" or weight[~masks[weight]].any()
