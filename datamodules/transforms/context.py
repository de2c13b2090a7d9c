"""Where a batch stands, as what acts on it is told."""

from typing import Any, NamedTuple

from torch import Tensor


class BatchContext(NamedTuple):
    """Where a batch stands.

    Attributes:
        seed: the run's seed.
        split: `train`, `validation` or `test`.
        examples: how many examples the split has.
        classes: number of classes; None if the task is not classification.
        mean: float32 (channels,), the training split's mean colour in 0…255; empty if inputs are
            not images.
        std: float32 (channels,), its standard deviation.
        stream_key: what tells this batch from all others of the split: epoch, batch, rank; or
            what else the examples are looked at for, by name.
        level: the strength that `levels` set now, or the number of a stage's task; None for what
            has neither.
    """

    seed: int
    split: str
    examples: int
    classes: int | None
    mean: Tensor
    std: Tensor
    stream_key: tuple[int | str, ...]
    level: Any = None
