"""Augmentation of a whole batch on its device, every example with its own draw."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from datamodules.datasets.split import Split
from plasticity_lab.errors import UserError


class Augmentation(ABC):
    """What is done to training batches.

    Your own: subclass, implement `__call__`, name the class in YAML.
    """

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
