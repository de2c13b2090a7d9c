"""What is wrong with training data for a while: a function of a batch, and its window."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.naming import Named
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Epoch, Time, Window


class BatchContext(NamedTuple):
    """Where a batch stands.

    Attributes:
        seed: the run's seed.
        split: `train` or `validation`.
        examples: how many examples the split has.
        classes: number of classes; None if the task is not classification.
        mean: float32 (channels,), the training split's mean colour in 0…255; empty if inputs are
            not images.
        std: float32 (channels,), its standard deviation.
        stream_key: what tells this batch from all others of the split: epoch, batch, rank.
    """

    seed: int
    split: str
    examples: int
    classes: int | None
    mean: Tensor
    std: Tensor
    stream_key: tuple[int, ...]


class Deficit(Named, ABC):
    """Something wrong with a batch during a window of the run.

    Your own: subclass, implement `__call__`, name the class in YAML.

    A deficit is a pure function: whatever it draws comes from `randomness.generator(context.seed,
    …)`. It acts before augmentation.

    Args:
        during: `[start, stop]`, stop excluded; `[0ep, 0ep]` is never, `[0ep, 100%]` always.

    Attributes:
        augmented: whether training images are still augmented while it acts.
    """

    augmented = True

    def __init__(self, during: tuple[Time, Time]) -> None:
        self.during = Window(*during)

    @abstractmethod
    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Impair a batch.

        Args:
            batch: images (examples, channels, height, width) in grey levels 0…255 (uint8, unless a
                deficit before this one has made them float) or other inputs, and targets; to be
                returned with the same shapes.
            context: where it stands.
        """

    def in_force(self, epoch: Epoch) -> str | None:
        """Return what is wrong in an epoch, None if nothing; studies share epochs by it."""
        window = self.during.in_force(epoch)
        return None if window is False else f"{self!r}{'' if window is True else f' {window}'}"

    def check(self, train: Split) -> None:  # most can impair anything
        """Raise UserError for what the examples of a training split cannot take."""

    def need_images(self, train: Split) -> None:
        """Raise UserError unless the inputs are images."""
        if not train.holds_images:
            raise UserError(
                "deficits",
                value=repr(self),
                problem=f"needs images, and inputs are {train.dtype} {train.shape}",
                fix="remove it",
            )

    def need_classes(self, train: Split) -> None:
        """Raise UserError unless the targets are classes."""
        if not train.classes:
            raise UserError(
                "deficits",
                value=repr(self),
                problem="changes class labels, and the data have no classes",
                fix="remove it",
            )
