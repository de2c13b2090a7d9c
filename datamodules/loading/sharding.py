"""Which examples of an epoch make up which batch of which rank."""

from itertools import pairwise

from torch import Tensor


def shard_batches(
    order: Tensor,
    batch_size: int,
    rank: int,
    ranks: int,
    drop_remainder: bool,
    drop_last: bool = False,
) -> list[Tensor]:
    """Cut an order into the batches of one rank.

    Step s of all ranks together is the s-th run of `batch_size * ranks` examples, dealt out in
    turn: N ranks with batches of B/N see what one process with batches of B sees, and no example
    twice.

    Args:
        order: int64 (examples,).
        batch_size: examples in a batch of one rank.
        rank: this rank, 0…ranks-1.
        ranks: number of ranks.
        drop_remainder: give every rank equally many examples, as the mean gradient needs (the last
            `examples % ranks` sit this epoch out). Otherwise every example is dealt, every rank
            gets equally many batches, and a remainder smaller than the number of ranks joins the
            batch before it.
        drop_last: leave out the last, smaller batch.
    """
    global_batch = batch_size * ranks
    if drop_remainder:
        order = order[: len(order) - len(order) % (global_batch if drop_last else ranks)]
    steps = len(order) // global_batch
    steps += len(order) - steps * global_batch >= (1 if steps == 0 else ranks)
    starts = [step * global_batch for step in range(steps)] + [len(order)]
    return [order[start:stop][rank::ranks] for start, stop in pairwise(starts)]
