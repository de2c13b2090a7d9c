"""Masks of partial resets, counted by hand."""

import pytest
import torch

from plasticity_lab.surgery import largest_mask, leading_mask, partial_reset, random_mask


def test_what_is_kept_stays_and_the_rest_is_the_fresh_draw() -> None:
    weight = torch.randn(3, 2, 3, 3).to(memory_format=torch.channels_last)
    before, fresh = weight.clone(), torch.randn(3, 2, 3, 3)
    mask = torch.rand(3, 2, 3, 3) < 0.5
    partial_reset({"weight": weight}, {"weight": fresh}, {"weight": mask})
    assert torch.equal(weight, mask * before + ~mask * fresh)


def test_magnitudes_are_compared_within_a_layer() -> None:
    weight = torch.tensor([[0.1, -0.5], [0.3, -0.2], [0.4, 0.05]])
    expected = torch.tensor([[False, True], [True, False], [True, False]])
    assert torch.equal(largest_mask(weight, 0.5), expected)
    assert bool(largest_mask(weight, 1.0).all())
    assert not largest_mask(weight, 0.0).any()
    # Of equal magnitudes as many as asked for, not all.
    assert int(largest_mask(torch.ones(10), 0.7).sum()) == 7


def test_leading_units_are_a_network_in_the_network() -> None:
    weight = torch.ones(5, 4, 3, 3)
    mask = leading_mask(weight, 0.6, first=False, last=False)
    assert bool(mask[:3, :3].all())
    assert int(mask.sum()) == 3 * 3 * 9
    assert int(leading_mask(weight, 0.6, first=True, last=False).sum()) == 3 * 4 * 9
    assert int(leading_mask(weight, 0.6, first=False, last=True).sum()) == 5 * 3 * 9


def test_a_random_mask_is_that_of_its_stream() -> None:
    first, again = (
        random_mask(torch.ones(50, 40), 0.8, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert abs(float(first.float().mean()) - 0.8) < 0.03


@pytest.mark.parametrize(("kept", "units"), [(0.55, 55), (0.07, 7), (0.501, 51)])
def test_as_many_leading_units_are_kept_as_their_share_rounded_up(kept: float, units: int) -> None:
    mask = leading_mask(torch.ones(100, 100), kept, first=False, last=False)
    assert (int(mask.any(1).sum()), int(mask.any(0).sum())) == (units, units)
