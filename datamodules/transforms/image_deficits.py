"""What is wrong with images for a while (Achille, Rovere & Soatto 2019)."""

import torch

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.blur import blur
from datamodules.transforms.deficit import BatchContext, Deficit
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time


class Blur(Deficit):
    """Low resolution, the "cataract" of Achille et al. (2019): images shrunk and enlarged again.

    Args:
        size: pixels that are left of the shorter side, 1…that side (which is the identity); the
            longer one shrinks by the same factor. The paper's is 8 of 32.
        during: as `Deficit`.
    """

    def __init__(self, size: int, during: tuple[Time, Time]) -> None:
        super().__init__(during)
        self.size = size

    def check(self, train: Split) -> None:
        """Refuse a size that images do not have."""
        self.need_images(train)
        size = min(train.shape[1:])
        if not 1 <= self.size <= size:
            raise UserError(
                "size",
                value=self.size,
                problem=f"images of {size} pixels can be blurred to 1 … {size} (no blur)",
            )

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Blur the images."""
        return batch._replace(inputs=blur(batch.inputs, self.size))


class VerticalFlip(Deficit):
    """Every image upside down (Achille et al. 2019, Fig. 2).

    High-level statistics change, low-level ones stay.

    Args:
        during: as `Deficit`.
    """

    def check(self, train: Split) -> None:
        """Refuse what is not an image."""
        self.need_images(train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Flip the images."""
        return batch._replace(inputs=batch.inputs.flip(2))


class WhiteNoise(Deficit):
    """Images replaced by noise, "sensory deprivation" (Achille et al. 2019, Fig. 2).

    Labels stay. Augmentation is off meanwhile.

    Every pixel is drawn anew for every batch, from N(0, 1) once normalised.

    Args:
        during: as `Deficit`.
    """

    augmented = False

    def check(self, train: Split) -> None:
        """Refuse what is not an image."""
        self.need_images(train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Replace the images."""
        draws = generator(context.seed, "WhiteNoise", context.split, *context.stream_key)
        noise = torch.randn(batch.inputs.shape, generator=draws).to(batch.inputs.device)
        return batch._replace(
            inputs=noise * context.std[:, None, None] + context.mean[:, None, None]
        )
