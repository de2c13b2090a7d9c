"""Reading images through worker processes."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

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
        _ErrorsAsBatches(images),
        batch_sampler=batches,  # type: ignore[arg-type]  # any sequence of indices will do
        num_workers=workers,
        collate_fn=_hand_over,  # type: ignore[arg-type]  # __getitems__ returns a tensor
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else the workers' seed would be drawn from the global stream
    )
    waiting: list[Tensor] = []
    for pixels in loader:
        if isinstance(pixels, UserError):
            raise pixels
        yield from waiting
        waiting = [torch.as_tensor(pixels)]
    yield from waiting


class _ErrorsAsBatches(Dataset[Tensor]):
    """A split whose errors come back whole; torch would make a text of them, with a traceback.

    Args:
        split: the split.
    """

    def __init__(self, split: Split) -> None:
        self.split = split

    def __getitems__(self, indices: list[int]) -> Tensor | UserError:
        try:
            return self.split.__getitems__(indices)
        except UserError as error:
            return error


def _hand_over(images: Tensor | UserError) -> Tensor | NDArray[np.uint8] | UserError:
    """Prepare a batch for the way from a worker: by shared memory, or else through a pipe."""
    if get_worker_info() is None or isinstance(images, UserError):
        return images
    try:
        images.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError:
        # Left to torch, this would be found in a thread that drops the batch, and the run would
        # wait for it for ever.
        return images.numpy()
    return images
