"""What is wrong with training data for a while (Achille, Rovere & Soatto 2019): functions of a batch and their windows."""

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.blurring import blur
from datamodules.loader import Batch
from datamodules.naming import Named
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Epoch, Time, Window


class Scene(NamedTuple):
    """Where a batch stands.

    Attributes:
        seed: the run's seed.
        split: `train` or `validation`.
        examples: how many examples the split has.
        classes: number of classes.
        mean: float32 (channels,), the training split's mean colour in 0…255.
        deviation: float32 (channels,), its standard deviation.
        counters: what tells this batch from all others of the split: epoch, batch, rank.
    """

    seed: int
    split: str
    examples: int
    classes: int
    mean: Tensor
    deviation: Tensor
    counters: tuple[int, ...]


class Deficit(Named, ABC):
    """Something wrong with a batch during a window of the run. Your own: subclass, implement `__call__`, name the class in YAML.

    A deficit is a pure function: whatever it draws comes from `randomness.generator(scene.seed,
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
    def __call__(self, batch: Batch, scene: Scene) -> Batch:
        """Impair a batch.

        Args:
            batch: images (examples, channels, height, width) in grey levels 0…255 (uint8, unless a
                deficit before this one has made them float), labels (examples,); to be returned
                with the same shapes.
            scene: where it stands.
        """

    def in_force(self, epoch: Epoch) -> str | None:
        """Return what is wrong in an epoch, by which studies tell whether two runs can share it; None if nothing."""
        window = self.during.in_force(epoch)
        return None if window is False else f"{self!r}{'' if window is True else f' {window}'}"

    def check(self, image_size: int, classes: int) -> None:  # most can impair anything
        """Raise UserError for what images of `image_size` pixels and `classes` classes cannot take."""


class Blur(Deficit):
    """Low resolution, the "cataract" of Achille et al. (2019): images shrunk to `size` x `size` pixels and enlarged again.

    Args:
        size: pixels that are left in a row and a column, 1…image size (which is the identity). The
            paper's is 8 of 32.
        during: as `Deficit`.
    """

    def __init__(self, size: int, during: tuple[Time, Time]) -> None:
        super().__init__(during)
        self.size = size

    def check(self, image_size: int, classes: int) -> None:
        """Refuse a size that images do not have."""
        if not 1 <= self.size <= image_size:
            raise UserError(
                "size",
                value=self.size,
                problem=f"images of {image_size} pixels can be blurred to 1 … {image_size} (no blur)",
            )

    def __call__(self, batch: Batch, scene: Scene) -> Batch:
        """Blur the images."""
        return batch._replace(inputs=blur(batch.inputs, self.size))


class VerticalFlip(Deficit):
    """Every image upside down; high-level statistics change, low-level ones stay (Achille et al. 2019, Fig. 2).

    Args:
        during: as `Deficit`.
    """

    def __call__(self, batch: Batch, scene: Scene) -> Batch:
        """Flip the images."""
        return batch._replace(inputs=batch.inputs.flip(2))


@lru_cache(maxsize=8)
def class_permutation(classes: int, seed: int, device: torch.device) -> Tensor:
    """Return one permutation of the classes, int64 (classes,), keyed by the seed; never the identity (if there are two classes)."""
    draws = generator(seed, "LabelPermutation")
    while True:
        permutation = torch.randperm(classes, generator=draws)
        if classes == 1 or not torch.equal(permutation, torch.arange(classes)):
            return permutation.to(device)


class LabelPermutation(Deficit):
    """The names of the classes permuted, by one permutation for all examples; images stay (Achille et al. 2019, Fig. 2).

    Args:
        during: as `Deficit`.
    """

    def __call__(self, batch: Batch, scene: Scene) -> Batch:
        """Rename the classes."""
        return batch._replace(
            targets=class_permutation(scene.classes, scene.seed, batch.targets.device)[
                batch.targets
            ]
        )


@lru_cache(maxsize=8)
def label_shifts(
    fraction: float, examples: int, classes: int, seed: int, split: str, device: torch.device
) -> Tensor:
    """Return by how many classes each example's label is off, int64 (examples,): 0, or for a `fraction` uniform in 1…classes-1.

    A function of the example's index; those wrong at one fraction are wrong, in the same way, at
    every larger one.
    """
    draws = generator(seed, "LabelNoise", split)
    wrong = torch.rand(examples, generator=draws) < fraction
    return (torch.randint(1, max(classes, 2), (examples,), generator=draws) * wrong).to(device)


class LabelNoise(Deficit):
    """Each label wrong with probability `fraction`: always the same examples, each with one wrong class (cf. Zhang et al. 2017).

    Args:
        fraction: in [0, 1]; 0 is the identity.
        during: as `Deficit`.
    """

    def __init__(self, fraction: float, during: tuple[Time, Time]) -> None:
        super().__init__(during)
        if not 0 <= fraction <= 1:
            raise UserError(
                "fraction", value=fraction, fix="set the share of wrong labels, in [0, 1]"
            )
        self.fraction = fraction

    def __call__(self, batch: Batch, scene: Scene) -> Batch:
        """Mislabel some examples."""
        shifts = label_shifts(
            self.fraction,
            scene.examples,
            scene.classes,
            scene.seed,
            scene.split,
            batch.targets.device,
        )
        return batch._replace(
            targets=(batch.targets + shifts[batch.indices.to(batch.targets.device)]) % scene.classes
        )


class WhiteNoise(Deficit):
    """Images replaced by noise, "sensory deprivation" (Achille et al. 2019, Fig. 2); labels stay. Augmentation is off meanwhile.

    Every pixel is drawn anew for every batch, from N(0, 1) once normalised.

    Args:
        during: as `Deficit`.
    """

    augmented = False

    def __call__(self, batch: Batch, scene: Scene) -> Batch:
        """Replace the images."""
        draws = generator(scene.seed, "WhiteNoise", scene.split, *scene.counters)
        noise = torch.randn(batch.inputs.shape, generator=draws).to(batch.inputs.device)
        return batch._replace(
            inputs=noise * scene.deviation[:, None, None] + scene.mean[:, None, None]
        )
