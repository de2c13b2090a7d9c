"""A patch that tells the class, hard to fit and easy to generalise from."""

from functools import lru_cache

import torch
from torch import Tensor

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.deficit import Deficit
from datamodules.transforms.requirements import need_classes, need_images
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time

_COMMON, _OWN, _ALONE = 1.25, 0.1, 1.75
"""Standard deviation of the common pattern, range of a class's own, and what that is multiplied by
where the patch stands alone: of the paper's code."""


class ClassPatch(Deficit):
    """A small patch in the middle of images by which their class can be memorised.

    Li, Wei & Ma 2019, https://arxiv.org/abs/1907.04595, section 5. To the patch of a normalised
    image z + s c is added: one common pattern z ~ N(0, 1.25^2), a pattern c of the class, uniform
    in [-0.1, 0.1], and a sign s drawn anew each time, so that no linear classifier sees it. Each
    example has it with probability `patched`, always the same ones. Of these, each time, a share
    `alone` are nothing but the patch, on an image of mean colour, with c multiplied by 1.75 u, u
    uniform in [0, 1].

    Args:
        size: of the patch in pixels, height and width; the paper's is 7 of 32.
        during: as `Deficit`; for a whole run `[0ep, 100%]`.
        patched: probability of an example, in [0, 1]; 0 is the identity. The paper's is 0.8.
        alone: share of these that show the patch alone, in [0, 1]; the paper's is 0.2.

    Raises:
        UserError: for a patch that does not fit the images, shares outside [0, 1], or a task
            without classes.

    Example:
        ```yaml
        class_path: datamodules.ClassPatch
        init_args: {size: 7, during: [0ep, 100%]}
        ```
    """

    def __init__(
        self,
        size: int,
        during: tuple[Time, Time],
        patched: float = 0.8,
        alone: float = 0.2,
    ) -> None:
        super().__init__(during)
        for name, share in {"patched": patched, "alone": alone}.items():
            if not 0 <= share <= 1:
                raise UserError(name, value=share, fix="set a share in [0, 1]")
        self.size, self.patched, self.alone = size, patched, alone

    def check(self, train: Split) -> None:
        """Refuse another task than classification of images, and a patch that does not fit."""
        need_images(self, train)
        need_classes(self, train)
        side = min(train.shape[1:])
        if not 1 <= self.size <= side:
            raise UserError(
                "size",
                value=self.size,
                problem=f"the images have {side} pixels",
                fix=f"set 1 to {side}",
            )

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Add the patch."""
        device, count = batch.inputs.device, len(batch.inputs)
        assert context.classes is not None
        chosen = patched_examples(
            self.patched, context.examples, context.seed, context.split, device
        )[batch.indices.to(device)]
        if not chosen.any():
            return batch

        # Drawn for the whole batch, whichever of it is patched.
        draws = generator(context.seed, "ClassPatch", context.split, *context.stream_key)
        signs = torch.randint(2, (count,), generator=draws).mul(2).sub(1).to(device)
        alone = (torch.rand(count, generator=draws) < self.alone).to(device) & chosen
        scales = (_ALONE * torch.rand(count, generator=draws)).to(device)

        channels = batch.inputs.shape[1]
        common, own = class_patterns(context.classes, channels, self.size, context.seed, device)
        factors = signs * torch.where(alone, scales, 1.0)
        patches = common + factors[:, None, None, None] * own[batch.targets]

        # In grey levels, as images are until they are normalised.
        mean, std = (part.to(device)[:, None, None] for part in (context.mean, context.std))
        images = torch.where(alone[:, None, None, None], mean, batch.inputs.float())
        top, left = ((side - self.size) // 2 for side in images.shape[2:])
        window = images[:, :, top : top + self.size, left : left + self.size]
        window += chosen[:, None, None, None] * patches * std
        return batch._replace(inputs=images)


@lru_cache(maxsize=8)
def patched_examples(
    share: float, examples: int, seed: int, split: str, device: torch.device
) -> Tensor:
    """Return which examples of a split are patched, bool (examples,): always the same."""
    draws = generator(seed, "ClassPatch examples", split)
    return (torch.rand(examples, generator=draws) < share).to(device)


@lru_cache(maxsize=8)
def class_patterns(
    classes: int, channels: int, size: int, seed: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the common pattern (channels, size, size), and (classes, channels, size, size)."""
    draws = generator(seed, "ClassPatch patterns")
    common = _COMMON * torch.randn(channels, size, size, generator=draws)
    own = _OWN * (2 * torch.rand(classes, channels, size, size, generator=draws) - 1)
    return common.to(device), own.to(device)
