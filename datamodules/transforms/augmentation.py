"""Augmentation of a whole batch on its device, every example with its own draw."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from datamodules.datasets.split import Split
from datamodules.transforms.transform import Transform
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer
from plasticity_lab.timing import Position, Time


class Augmentation(Transform):
    """What is done to training batches, always, for a while, or to a share of the images.

    Your own: subclass, implement `__call__`, name the class in YAML. Random draws do not depend on
    the share: a crop is the same whichever share is active.

    Args:
        during: `[start, stop]`, when images are augmented; None is always.
        levels: in place of `during`, `{moment: share}` in [0, 1], each image drawing for itself; 1
            is on, as before the first moment, and 0 is off.

    Raises:
        UserError: for both, or for a share outside [0, 1].
    """

    section = "augmentation"

    def __init__(
        self,
        during: tuple[Time, Time] | None = None,
        levels: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(during, levels)
        for share in self.strengths:
            if share is None or not 0 <= share <= 1:
                raise UserError(
                    "levels", value=share, fix="set the share of images to augment, in [0, 1]"
                )

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the share of training images that are augmented; None for none."""
        share: Any = super().active(before, now, epochs)
        if self.strengths:
            return 1.0 if share is None else float(share) or None
        return 1.0 if share else None

    @abstractmethod
    def __call__(self, images: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Augment a batch.

        Args:
            images: (examples, channels, height, width) in grey levels, uint8 unless a deficit has
                made them float.
            mean: float (channels,), the training split's mean in 0…255.
            generator: the only source of draws; on the CPU, so that every device sees the same
                ones.

        Returns:
            The same shape and type.
        """

    def check(self, train: Split) -> None:
        """Raise UserError for what is not an image; one for other inputs overrides this."""
        if not train.holds_images:
            raise UserError(
                "augmentation",
                value=type(self).__name__,
                problem=f"needs images, and inputs are {train.dtype} {train.shape}",
                fix="remove it",
            )
