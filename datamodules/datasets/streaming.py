"""Reading images through worker processes."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from datamodules.datasets.split import Split
from plasticity_lab.errors import UserError


def stream_batches(
    images: Split, batches: Sequence[Sequence[int]], workers: int, pin_memory: bool = False
) -> Iterator[Tensor]:
    """Yield the images of each batch of indices, uint8 (examples, channels, height, width).

    The processes have ended when the last batch is yielded: left to Python's garbage collection,
    ending one takes five seconds.

    Args:
        images: the split.
        batches: the indices of each batch.
        workers: number of processes that read; 0 reads in this one.
        pin_memory: give batches in page-locked memory, for a GPU.
    """
    loader = DataLoader(
        images,
        batch_sampler=batches,  # type: ignore[arg-type]  # any sequence of indices will do
        num_workers=workers,
        collate_fn=_hand_over,  # type: ignore[arg-type]  # __getitems__ returns a tensor
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else the workers' seed would be drawn from the global stream
    )
    waiting: list[Tensor] = []
    try:
        for pixels in loader:
            yield from waiting
            waiting = [torch.as_tensor(pixels)]
    except UserError as error:  # the worker's message holds its traceback
        raise UserError(str(error).strip().splitlines()[-1].rpartition("UserError: ")[2]) from None
    yield from waiting


def _hand_over(images: Tensor) -> Tensor | NDArray[np.uint8]:
    """Prepare a batch for the way from a worker: by shared memory, or else through a pipe."""
    if get_worker_info() is None:
        return images
    try:
        images.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError:
        # Left to torch, this would be found in a thread that drops the batch, and the run would
        # wait for it for ever.
        return images.numpy()
    return images
