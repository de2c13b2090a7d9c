"""What is wrong with labels for a while."""

from functools import lru_cache

import torch
from torch import Tensor

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.requirements import need_classes
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time


@lru_cache(maxsize=8)
def class_permutation(classes: int, seed: int, device: torch.device) -> Tensor:
    """Return one permutation of the classes, int64 (classes,), keyed by the seed.

    It is never the identity, if there are two classes.
    """
    draws = generator(seed, "LabelPermutation")
    while True:
        permutation = torch.randperm(classes, generator=draws)
        if classes == 1 or not torch.equal(permutation, torch.arange(classes)):
            return permutation.to(device)


class LabelPermutation(Deficit):
    """The names of the classes permuted; images stay (Achille et al. 2019, Fig. 2).

    By one permutation for all examples.

    Args:
        during: as `Deficit`.
    """

    def __init__(self, during: tuple[Time, Time]) -> None:
        super().__init__(during)

    def check(self, train: Split) -> None:
        """Refuse another task than classification."""
        need_classes(self, train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Rename the classes."""
        assert context.classes is not None
        return batch._replace(
            targets=class_permutation(context.classes, context.seed, batch.targets.device)[
                batch.targets
            ]
        )


@lru_cache(maxsize=8)
def label_shifts(
    fraction: float, examples: int, classes: int, seed: int, split: str, device: torch.device
) -> Tensor:
    """Return by how many classes each label is off, int64 (examples,).

    0, or for a `fraction` of the examples uniform in 1…classes-1.

    A function of the example's index; those wrong at one fraction are wrong, in the same way, at
    every larger one.
    """
    draws = generator(seed, "LabelNoise", split)
    wrong = torch.rand(examples, generator=draws) < fraction
    return (torch.randint(1, max(classes, 2), (examples,), generator=draws) * wrong).to(device)


class LabelNoise(Deficit):
    """Each label wrong with probability `fraction` (cf. Zhang et al. 2017).

    Always the same examples, each with one wrong class.

    Args:
        fraction: in [0, 1]; 0 is the identity.
        during: as `Deficit`.
        levels: in place of `fraction` and `during`, `{moment: fraction}`: noise that fades.

    Raises:
        UserError: unless `fraction` comes with `during`, and `levels` alone; for a fraction outside
            [0, 1].

    Example:
        ```yaml
        class_path: datamodules.LabelNoise
        init_args: {levels: {0ep: 0.5, 10ep: 0.2, 20ep: null}}
        ```
    """

    def __init__(
        self,
        fraction: float | None = None,
        during: tuple[Time, Time] | None = None,
        levels: dict[str, float | None] | None = None,
    ) -> None:
        super().__init__(during, levels)
        if (fraction is None) == (levels is None):
            raise UserError(
                "LabelNoise", fix="set either fraction and during, or levels: {time: fraction}"
            )
        for share in [fraction, *self.strengths]:
            if share is not None and not 0 <= share <= 1:
                raise UserError(
                    "levels" if fraction is None else "fraction",
                    value=share,
                    fix="set the share of wrong labels, in [0, 1]",
                )
        self.fraction = fraction

    def check(self, train: Split) -> None:
        """Refuse another task than classification."""
        need_classes(self, train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Mislabel some examples."""
        assert context.classes is not None
        fraction = context.level if self.fraction is None else self.fraction
        shifts = label_shifts(
            fraction,
            context.examples,
            context.classes,
            context.seed,
            context.split,
            batch.targets.device,
        )
        return batch._replace(
            targets=(batch.targets + shifts[batch.indices.to(batch.targets.device)])
            % context.classes
        )
