"""Which examples make up which batch."""

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datamodules.datasets.split import TensorSplit
from datamodules.growth.permutations import epoch_permutation
from datamodules.loading.loader import EpochLoader
from datamodules.loading.sharding import shard_batches
from plasticity_lab.errors import UserError

CPU = torch.device("cpu")


def images(count: int = 10) -> TensorSplit:
    pixels = (
        torch.arange(count, dtype=torch.uint8)[:, None, None, None]
        .expand(count, 1, 2, 2)
        .contiguous()
    )
    return TensorSplit(pixels, torch.arange(count) % 3, ["a", "b", "c"])


def loader(
    count: int = 10, batch_size: int = 4, training: bool = True, **arguments: Any
) -> EpochLoader:
    order = partial(epoch_permutation, count, 0) if training else None
    return EpochLoader(
        images(count), batch_size, CPU, order=order, **{"resident": True, **arguments}
    )


@given(st.integers(0, 80), st.integers(1, 9), st.integers(1, 5), st.booleans(), st.booleans())
def test_ranks_share_an_epoch_without_duplicates(
    count: int, batch_size: int, ranks: int, equal: bool, drop_last: bool
) -> None:
    order = torch.randperm(count)
    drop_last = drop_last and equal
    shards = [
        shard_batches(order, batch_size, rank, ranks, equal, drop_last) for rank in range(ranks)
    ]
    dealt = [index for batches in shards for batch in batches for index in batch.tolist()]
    assert len(dealt) == len(set(dealt))
    assert len({len(batches) for batches in shards}) == 1, "ranks take equally many steps"
    if equal:
        assert len({tuple(map(len, batches)) for batches in shards}) == 1, "of equal size"
        assert len(dealt) == count - count % (batch_size * ranks if drop_last else ranks)
    else:
        assert len(dealt) == count, "nothing is left out of a measurement"
        assert count < ranks or all(len(batch) for batches in shards for batch in batches)


@given(st.integers(8, 60), st.integers(1, 4), st.sampled_from([2, 4]))
def test_ranks_with_a_share_of_the_batch_see_what_one_process_sees(
    count: int, share: int, ranks: int
) -> None:
    order = torch.randperm(count - count % ranks)
    undivided = shard_batches(order, share * ranks, 0, 1, drop_remainder=True)
    parts = [shard_batches(order, share, rank, ranks, drop_remainder=True) for rank in range(ranks)]
    for step, batch in enumerate(undivided):
        assert sorted(batch.tolist()) == sorted(
            index for part in parts for index in part[step].tolist()
        )


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    first, second = epoch_permutation(50, 0, 0), epoch_permutation(50, 0, 1)
    assert torch.equal(epoch_permutation(50, 0, 0), first)
    assert not torch.equal(first, second)
    assert not torch.equal(epoch_permutation(50, 1, 0), first)
    assert sorted(first.tolist()) == list(range(50))
    assert epoch_permutation(10, 0, 0).tolist() == [5, 7, 8, 2, 4, 9, 3, 6, 0, 1]


def test_a_batch_holds_images_labels_and_indices_that_belong_together() -> None:
    batches = list(loader())
    assert [len(batch.indices) for batch in batches] == [4, 4, 2]
    for batch in batches:
        assert torch.equal(batch.inputs[:, 0, 0, 0].long(), batch.indices)
        assert torch.equal(batch.targets, batch.indices % 3)
    assert len(list(loader(drop_last=True))) == len(loader(drop_last=True)) == 2


def test_an_evaluation_loader_shows_everything_in_order_and_again() -> None:
    evaluation = loader(training=False, drop_last=False)
    for _ in range(2):
        assert torch.cat([batch.indices for batch in evaluation]).tolist() == list(range(10))


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_gives_the_same_batches_bit_for_bit(workers: int) -> None:
    resident, streaming = loader(), loader(resident=False, workers=workers)
    for epoch in (0, 1, 5):
        resident.set_epoch(epoch)
        streaming.set_epoch(epoch)
        pairs = list(zip(resident, streaming, strict=True))
        assert len(pairs) == 3
        for first, second in pairs:
            assert first.number == second.number
            pairs_of_parts = zip(first.batch, second.batch, strict=True)
            assert all(torch.equal(mine, yours) for mine, yours in pairs_of_parts)


def test_streaming_draws_nothing_from_the_global_stream() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader(resident=False, workers=2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("resident", [True, False])
def test_a_loader_goes_on_inside_an_epoch(resident: bool) -> None:
    stopped, resumed = loader(resident=resident), loader(resident=resident)
    stopped.set_epoch(3)
    iterator = iter(stopped)
    next(iterator)
    resumed.load_state_dict(stopped.state_dict())
    assert [batch.indices.tolist() for batch in resumed] == [
        batch.indices.tolist() for batch in iterator
    ]
    resumed.set_epoch(4)
    assert len(list(resumed)) == 3


def test_an_epoch_cut_into_other_batches_is_not_gone_on_with() -> None:
    stopped = loader()
    next(iter(stopped))
    with pytest.raises(
        UserError,
        match=(
            "ckpt_path: written after 1 of an epoch's 3 batches of 4 on 1 devices, which has now "
            "4 batches of 3"
        ),
    ):
        loader(batch_size=3).load_state_dict(stopped.state_dict())
