"""Keyed generators."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plasticity_lab.randomness import derive_seed, generator, seeded_global_rng

counters = st.lists(st.one_of(st.integers(0, 10**6), st.text(max_size=8)), max_size=3).map(tuple)
keys = st.tuples(st.integers(0, 10**9), st.text(max_size=12), counters)


@given(keys, keys)
def test_different_keys_differ_and_equal_keys_agree(
    first: tuple[int, str, tuple[int | str, ...]], second: tuple[int, str, tuple[int | str, ...]]
) -> None:
    assert (
        derive_seed(first[0], first[1], *first[2]) == derive_seed(second[0], second[1], *second[2])
    ) == (first == second)


def test_all_draws_of_a_run_are_pairwise_different() -> None:
    first = [
        torch.rand(4, generator=generator(seed, purpose, epoch, step))
        for seed in (0, 1)
        for purpose in ("order", "augment")
        for epoch in range(5)
        for step in range(5)
    ]
    assert len({tuple(draw.tolist()) for draw in first}) == len(first)


def test_what_is_joined_is_not_confused() -> None:
    assert (
        len(
            {
                derive_seed(1, "a", 2, 3),
                derive_seed(1, "a", 23),
                derive_seed(12, "a", 3),
                derive_seed(1, "a2", 3),
                derive_seed(1, "a", "2", 3),
                derive_seed(1, "a", 2, "3"),
                derive_seed(1, 'a", 2', 3),
            }
        )
        == 7
    )


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        ((0, "order", 0), 8407243675484231436),
        ((1, "augment", 3, 7, 1), 2410632457069269463),
        ((2, "LayerReset", "80ep", "layer4.0.conv1.weight"), 4148567322887007046),
    ],
)
def test_keys_are_the_same_on_every_platform(arguments: tuple[int, str], golden: int) -> None:
    assert derive_seed(*arguments) == golden


def test_draws_are_the_same_on_every_platform() -> None:
    assert torch.randperm(10, generator=generator(0, "order", 0)).tolist() == [
        5,
        7,
        8,
        2,
        4,
        9,
        3,
        6,
        0,
        1,
    ]


def test_the_global_stream_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded_global_rng(0, "init", "conv1"):
        first = torch.rand(2)
    assert torch.equal(torch.rand(3), expected)
    with seeded_global_rng(0, "init", "conv1"):
        assert torch.equal(torch.rand(2), first)
    with seeded_global_rng(0, "init", "conv2"):
        assert not torch.equal(torch.rand(2), first)
