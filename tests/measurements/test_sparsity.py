"""Shares of surviving weights, and overlaps of masks."""

import pytest
import torch
from torch import nn

from plasticity_lab.measurements import (
    chance_overlap,
    mask_overlap,
    prunable_weights,
    surviving_share,
)
from tests.networks import SmallNet


def test_weights_of_layers_count_and_no_others() -> None:
    network = SmallNet(1, 10)
    assert {name: weight.numel() for name, weight in prunable_weights(network).items()} == {
        "conv.weight": 36,
        "head.weight": 40,
    }
    assert surviving_share(prunable_weights(network)) == 1
    with torch.no_grad():
        network.head.weight[:5] = 0
    assert surviving_share(prunable_weights(network)) == 56 / 76


def test_overlap_of_masks_is_the_jaccard_index_and_at_random_what_is_expected() -> None:
    draws = torch.Generator().manual_seed(0)
    masks = [
        {
            "a": torch.rand(300, 200, generator=draws) < 0.2,
            "b": torch.rand(100, generator=draws) < 0.7,
        }
        for _ in range(2)
    ]
    flat = [torch.cat([mask.flatten() for mask in both.values()]).tolist() for both in masks]
    sets = [{place for place, kept in enumerate(mask) if kept} for mask in flat]
    expected = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert mask_overlap(*masks) == pytest.approx(expected)
    assert mask_overlap(masks[0], masks[0]) == 1
    assert chance_overlap(*masks) == pytest.approx(expected, abs=0.01)
    assert chance_overlap(*masks) == pytest.approx(0.2 / 1.8, abs=0.005)


def test_masks_of_other_networks_are_not_compared() -> None:
    first, second = {"a": torch.ones(2)}, {"a": torch.ones(3)}
    with pytest.raises(ValueError, match="other names or shapes"):
        mask_overlap(first, second)
    with pytest.raises(ValueError, match="no weight survives"):
        mask_overlap({"a": torch.zeros(2)}, {"a": torch.zeros(2)})
    assert not prunable_weights(nn.BatchNorm2d(3))
