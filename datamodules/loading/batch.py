"""What a loader yields, and what a training step is given."""

from typing import NamedTuple

import torch
from torch import Tensor


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


class LoadedBatch(NamedTuple):
    """A batch as a loader yields it, with what tells it from all others of its split.

    Attributes:
        inputs: as in `Batch`.
        targets: as in `Batch`.
        indices: as in `Batch`.
        epoch: 0-based epoch that it belongs to; 0 for a split that is only evaluated.
        number: its place in the epoch, from 1.
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor
    epoch: int
    number: int

    @property
    def batch(self) -> Batch:
        """What a training step is given of it."""
        return Batch(self.inputs, self.targets, self.indices)

    def on(self, device: torch.device) -> "LoadedBatch":
        """Return it on a device."""
        inputs, targets, indices = (part.to(device) for part in self.batch)
        return self._replace(inputs=inputs, targets=targets, indices=indices)
