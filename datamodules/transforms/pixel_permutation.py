"""Pixels in another order in each stage."""

from functools import lru_cache
from typing import Literal

import torch

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.partial_permutation import partial_permutation
from datamodules.transforms.requirements import need_images
from datamodules.transforms.stage_transform import StageTransform
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


@lru_cache(maxsize=16)
def pixel_permutation(
    positions: int, fraction: float, seed: int, task: int, device: torch.device
) -> torch.Tensor:
    """Return where each position's value comes from, int64 (positions,).

    A share `fraction` of the positions, drawn uniformly, exchange their values; the others keep
    theirs.
    """
    draws = generator(seed, "PixelPermutation", task)
    return partial_permutation(positions, fraction, draws).to(device)


class PixelPermutation(StageTransform):
    """The positions of an image permuted, by one permutation for all images of a stage.

    Permuted MNIST: Goodfellow et al. 2013, https://arxiv.org/abs/1312.6211; as a stream for
    plasticity Dohare et al. 2024, https://doi.org/10.1038/s41586-024-07711-7. To a fully connected
    network all orders are alike; to convolutions the images' own is easier.

    Args:
        fraction: share of the positions that exchange their values, in [0, 1]; 0 is the identity.
        values: `pixels` moves whole pixels, all channels alike; `all` permutes the values of all
            channels among each other.
        cycle: as `StageTransform`.

    Raises:
        UserError: for a share outside [0, 1], or inputs that are not images.

    Example:
        ```yaml
        class_path: datamodules.PixelPermutation
        init_args: {cycle: 10}
        ```
    """

    def __init__(
        self,
        fraction: float = 1.0,
        values: Literal["pixels", "all"] = "pixels",
        cycle: int | None = None,
    ) -> None:
        super().__init__(cycle)
        if not 0 <= fraction <= 1:
            raise UserError(
                "fraction", value=fraction, fix="set the share of permuted positions, in [0, 1]"
            )
        self.fraction, self.values = fraction, values

    def check(self, train: Split) -> None:
        """Refuse inputs without pixels."""
        need_images(self, train)

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Permute the positions."""
        images = batch.inputs
        flat = images.flatten(2) if self.values == "pixels" else images.flatten(1)
        source = pixel_permutation(
            flat.shape[-1], self.fraction, context.seed, context.level, images.device
        )
        return batch._replace(inputs=flat[..., source].reshape(images.shape))
