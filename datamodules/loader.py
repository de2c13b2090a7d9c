"""Which examples make up which batch: a function of seed, epoch, rank, and nothing else."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from datamodules.images import Images
from datamodules.workers import read_batches
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


class Batch(NamedTuple):
    """A batch.

    Attributes:
        inputs: (examples, …); images are (examples, channels, height, width), uint8 from the
            loader, normalised float32 in the network.
        targets: what is to be learned, (examples, …); of classes int64 (examples,).
        indices: int64 (examples,), the examples' positions in their split.
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor


def training_order(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of `count` examples in an epoch, int64 (count,)."""
    return torch.randperm(count, generator=generator(seed, "order", epoch))


def shard(
    order: Tensor, batch_size: int, rank: int, ranks: int, equal: bool, drop_last: bool = False
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
        equal: give every rank equally many examples, as the mean gradient needs (the last `examples
            % ranks` sit this epoch out). Otherwise every example is dealt, every rank gets equally
            many batches, and a remainder smaller than the number of ranks joins the batch before
            it.
        drop_last: leave out the last, smaller batch.
    """
    together = batch_size * ranks
    if equal:
        order = order[: len(order) - len(order) % (together if drop_last else ranks)]
    steps = len(order) // together
    steps += len(order) - steps * together >= (1 if steps == 0 else ranks)
    starts = [step * together for step in range(steps)] + [len(order)]
    return [order[start:stop][rank::ranks] for start, stop in pairwise(starts)]


class EpochLoader:
    """The batches of one split for one rank; resumes inside an epoch (`state_dict`).

    Lightning sets the epoch (`sampler.set_epoch`); the order is drawn when iteration begins.

    Args:
        images: the split.
        batch_size: examples in a batch of one rank.
        device: where the batches are needed.
        resident: hold the whole split on `device`; otherwise read it through worker processes.
        workers: worker processes when not resident.
        rank: this rank.
        ranks: number of ranks.
        order: for a training split, the examples of an epoch in the order they are seen; None shows
            all, in the split's order.
        drop_last: leave out an epoch's last, smaller batch (training only).
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        device: torch.device,
        *,
        resident: bool,
        workers: int = 0,
        rank: int = 0,
        ranks: int = 1,
        order: Callable[[int], Tensor] | None = None,
        drop_last: bool = False,
    ) -> None:
        self.images, self.batch_size, self.device, self.workers = (
            images,
            batch_size,
            device,
            workers,
        )
        self.rank, self.ranks, self.order, self.drop_last = rank, ranks, order, drop_last
        self.labels = images.labels.to(device) if resident else images.labels
        self.pixels = images.tensor().to(device) if resident else None
        self.epoch, self.position = 0, 0
        if order is not None:
            self.sampler = self  # Lightning calls sampler.set_epoch, and would refuse a sampler that it takes for a shuffling one

    def set_epoch(self, epoch: int) -> None:
        """Say which 0-based epoch comes next."""
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0

    def batches(self) -> list[Tensor]:
        """Return the examples of each batch of the present epoch."""
        order = torch.arange(len(self.images)) if self.order is None else self.order(self.epoch)
        return self.cut(order)

    def __len__(self) -> int:
        """Return the number of batches of the present epoch."""
        return len(self.batches())

    def cut(self, order: Tensor) -> list[Tensor]:
        """Cut an order of examples into this rank's batches."""
        return shard(
            order,
            self.batch_size,
            self.rank,
            self.ranks,
            equal=self.order is not None,
            drop_last=self.drop_last,
        )

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the present epoch that are still to come."""
        if self.order is None:
            self.position = 0
        remaining = self.batches()[self.position :]
        for indices, images in zip(remaining, self._fetch(remaining), strict=True):
            self.position += 1
            yield Batch(images, self.labels[indices.to(self.labels.device)], indices)

    def _fetch(self, batches: list[Tensor]) -> Iterator[Tensor]:
        if self.pixels is not None:
            yield from (
                self.pixels[indices.to(self.device, non_blocking=True)] for indices in batches
            )
            return
        plan = [indices.tolist() for indices in batches]
        yield from read_batches(
            self.images, plan, self.workers, pin_memory=self.device.type == "cuda"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the position inside the epoch; Lightning stores it in every checkpoint."""
        return {"epoch": self.epoch, "position": self.position, "cut": self._cut()}

    def _cut(self) -> str:
        return f"{len(self)} batches of {self.batch_size} on {self.ranks} devices"

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the checkpoint was written.

        Raises:
            UserError: inside an epoch that is now cut into other batches.
        """
        self.epoch, self.position = state["epoch"], state["position"]
        if state["cut"] != self._cut():
            raise UserError(
                "ckpt_path",
                problem=f"written after {state['position']} of an epoch's {state['cut']}, which has now {self._cut()}",
                fix=(
                    "resume with the same data, batch_size and number of devices, or from a checkpoint of an epoch's end"
                ),
            )
