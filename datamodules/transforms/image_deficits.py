"""What is wrong with images for a while (Achille, Rovere & Soatto 2019)."""

import torch

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.blur import blur
from datamodules.transforms.context import BatchContext
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.requirements import need_images
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.schedule import Answer
from plasticity_lab.timing import Position, Time


class Blur(Deficit):
    """Low resolution, the "cataract" of Achille et al. (2019): images shrunk and enlarged again.

    Args:
        size: pixels that are left of the shorter side, 1…that side (which is the identity); the
            longer one shrinks by the same factor. The paper's is 8 of 32.
        during: as `Deficit`.
        levels: in place of `size` and `during`, `{moment: size}`: a blur that sharpens in steps.

    Raises:
        UserError: unless `size` comes with `during`, and `levels` alone.

    Example:
        ```yaml
        class_path: datamodules.Blur
        init_args: {levels: {0ep: 4, 10ep: 8, 20ep: 16, 30ep: null}}
        ```
    """

    def __init__(
        self,
        size: int | None = None,
        during: tuple[Time, Time] | None = None,
        levels: dict[str, int | None] | None = None,
    ) -> None:
        super().__init__(during, levels)
        if (size is None) == (levels is None):
            raise UserError("Blur", fix="set either size and during, or levels: {time: size}")
        self.size = size

    def check(self, train: Split) -> None:
        """Refuse a size that images do not have."""
        need_images(self, train)
        side = min(train.shape[1:])
        for size in [self.size, *self.strengths]:
            if size is not None and not 1 <= size <= side:
                raise UserError(
                    "levels" if self.size is None else "size",
                    value=size,
                    problem=f"images of {side} pixels can be blurred to 1 … {side} (no blur)",
                )

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Blur the images."""
        size = self.size or context.level
        return batch._replace(inputs=blur(batch.inputs, size))


class VerticalFlip(Deficit):
    """Every image upside down (Achille et al. 2019, Fig. 2).

    High-level statistics change, low-level ones stay.

    Args:
        during: as `Deficit`.
    """

    def __init__(self, during: tuple[Time, Time]) -> None:
        super().__init__(during)

    def check(self, train: Split) -> None:
        """Refuse what is not an image."""
        need_images(self, train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Flip the images."""
        return batch._replace(inputs=batch.inputs.flip(2))


class WhiteNoise(Deficit):
    """Images replaced by noise, "sensory deprivation" (Achille et al. 2019, Fig. 2).

    Labels stay. Augmentation is off meanwhile.

    Every pixel is drawn anew for every batch, from N(0, 1) once normalised. With `levels` images
    fade into it: pixels are (1 - share) · image + share · noise.

    Args:
        during: as `Deficit`.
        levels: in place of `during`, `{moment: share}` of the noise, in [0, 1]; 0 is the identity.

    Raises:
        UserError: for a share outside [0, 1].

    Example:
        ```yaml
        class_path: datamodules.WhiteNoise
        init_args: {levels: {0ep: 1.0, 10ep: 0.5, 20ep: null}}
        ```
    """

    augmented = False

    def __init__(
        self,
        during: tuple[Time, Time] | None = None,
        levels: dict[str, float | None] | None = None,
    ) -> None:
        super().__init__(during, levels)
        for share in self.strengths:
            if share is not None and not 0 <= share <= 1:
                raise UserError("levels", value=share, fix="set the share of noise, in [0, 1]")

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the share of noise; a share of 0 is none, so that images are augmented."""
        return super().active(before, now, epochs) or None

    def check(self, train: Split) -> None:
        """Refuse what is not an image."""
        need_images(self, train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Replace the images, or a share of every pixel."""
        draws = generator(context.seed, "WhiteNoise", context.split, *context.stream_key)
        normal = torch.randn(batch.inputs.shape, generator=draws).to(batch.inputs.device)
        noise = normal * context.std[:, None, None] + context.mean[:, None, None]
        share = context.level
        if share is None or share == 1:
            return batch._replace(inputs=noise)
        return batch._replace(inputs=(1 - share) * batch.inputs + share * noise)
