"""Reading images through worker processes."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.images import Images
from errors import UserError


class Workers:
    """Processes that read batches of images, in the order asked for, and stay alive between calls.

    Args:
        images: the split.
        count: number of processes; 0 reads in this one.
        pin_memory: give batches in page-locked memory, for a GPU.
    """

    def __init__(self, images: Images, count: int, pin_memory: bool = False) -> None:
        self._plan: list[Sequence[int]] = []
        self._loader = DataLoader(
            images,
            batch_sampler=self._plan,
            num_workers=count,
            collate_fn=_as_it_is,
            persistent_workers=count > 0,  # forking anew costs 0.1 s an epoch
            pin_memory=pin_memory,
            generator=torch.Generator(),  # else each epoch would draw the workers' seed from the global stream
        )

    def read(self, batches: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        """Yield the images of each batch of indices, uint8 (examples, channels, height, width)."""
        self._plan[:] = batches
        try:
            yield from self._loader
        except UserError as error:  # the worker's message holds its traceback
            raise UserError(str(error).strip().splitlines()[-1].removeprefix("errors.UserError: ")) from None


def _as_it_is(images: Tensor) -> Tensor:
    return images
