"""What a training step is given."""

from typing import NamedTuple

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
