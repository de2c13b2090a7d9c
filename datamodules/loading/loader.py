"""The batches of a split: a function of seed, epoch, rank, and nothing else."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from datamodules.datasets.split import Split
from datamodules.datasets.streaming import stream_batches
from datamodules.loading.batch import LoadedBatch
from datamodules.loading.sharding import shard_batches
from plasticity_lab.errors import UserError


class EpochLoader:
    """The batches of one split for one rank; resumes inside an epoch (`state_dict`).

    Lightning sets the epoch (`sampler.set_epoch`); the order is drawn when iteration begins.

    Args:
        split: what is read.
        batch_size: examples in a batch of one rank.
        device: where the batches are needed.
        resident: hold the whole split on `device`; otherwise read it through worker processes.
        workers: worker processes when not resident.
        rank: this rank.
        ranks: number of ranks.
        order: for a training split, the examples of an epoch in the order they are seen; None shows
            all, in the split's order.
        members: for a split that is evaluated, those of its examples that are shown now; None, or
            one that returns None, shows all.
        drop_last: leave out an epoch's last, smaller batch (training only).
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        device: torch.device,
        *,
        resident: bool,
        workers: int = 0,
        rank: int = 0,
        ranks: int = 1,
        order: Callable[[int], Tensor] | None = None,
        members: Callable[[], Tensor | None] | None = None,
        drop_last: bool = False,
    ) -> None:
        self.split, self.batch_size, self.device, self.workers = split, batch_size, device, workers
        self.rank, self.ranks, self.order, self.drop_last = rank, ranks, order, drop_last
        self.members = members
        self.targets = split.targets.to(device) if resident else split.targets
        self.inputs = split.tensor().to(device) if resident else None
        self.epoch, self.batch_index = 0, 0
        if order is not None:
            # Lightning calls sampler.set_epoch, and would refuse a sampler that it takes for a
            # shuffling one.
            self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Say which 0-based epoch comes next."""
        if epoch != self.epoch:
            self.epoch, self.batch_index = epoch, 0

    def batches(self) -> list[Tensor]:
        """Return the examples of each batch of the present epoch."""
        if self.order is not None:
            return self.shard(self.order(self.epoch))
        members = self.members() if self.members else None
        return self.shard(torch.arange(len(self.split)) if members is None else members)

    def __len__(self) -> int:
        """Return the number of batches of the present epoch."""
        return len(self.batches())

    def shard(self, order: Tensor) -> list[Tensor]:
        """Cut an order of examples into this rank's batches."""
        return shard_batches(
            order,
            self.batch_size,
            self.rank,
            self.ranks,
            drop_remainder=self.order is not None,
            drop_last=self.drop_last,
        )

    def __iter__(self) -> Iterator[LoadedBatch]:
        """Yield the batches of the present epoch that are still to come."""
        if self.order is None:
            self.batch_index = 0
        remaining = self.batches()[self.batch_index :]
        for indices, inputs in zip(remaining, self._fetch(remaining), strict=True):
            self.batch_index += 1
            targets = self.targets[indices.to(self.targets.device)]
            yield LoadedBatch(inputs, targets, indices, self.epoch, self.batch_index)

    def _fetch(self, batches: list[Tensor]) -> Iterator[Tensor]:
        if self.inputs is not None:
            yield from (
                self.inputs[indices.to(self.device, non_blocking=True)] for indices in batches
            )
            return
        plan = [indices.tolist() for indices in batches]
        yield from stream_batches(
            self.split, plan, self.workers, pin_memory=self.device.type == "cuda"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the position inside the epoch; Lightning stores it in every checkpoint."""
        return {"epoch": self.epoch, "position": self.batch_index, "cut": self._cut()}

    def _cut(self) -> str:
        return f"{len(self)} batches of {self.batch_size} on {self.ranks} devices"

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position inside the epoch.

        Raises:
            UserError: inside an epoch that is now cut into other batches.
        """
        self.epoch, self.batch_index = state["epoch"], state["position"]
        if state["cut"] != self._cut():
            raise UserError(
                "ckpt_path",
                problem=(
                    f"written after {state['position']} of an epoch's {state['cut']}, which has "
                    f"now {self._cut()}"
                ),
                fix=(
                    "resume with the same data, batch_size and number of devices, or from a "
                    "checkpoint of an epoch's end"
                ),
            )
