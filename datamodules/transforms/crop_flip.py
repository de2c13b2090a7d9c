"""Random translation and mirroring."""

from typing import Literal

import torch
from torch import Tensor

from datamodules.transforms.augmentation import Augmentation
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


def crop_flip(
    images: Tensor, rows: Tensor, columns: Tensor, flips: Tensor, padding: int, fill: Tensor
) -> Tensor:
    """Pad images, crop each at a place of its own, and mirror some left to right.

    Args:
        images: (examples, channels, height, width).
        rows: int64 (examples,), the crop's first row in the padded image, 0…2·padding.
        columns: int64 (examples,), its first column.
        flips: bool (examples,), which to mirror.
        padding: pixels added on every side.
        fill: (channels,), the colour added, of the images' type.

    Returns:
        (examples, channels, height, width).
    """
    count, channels, height, width = images.shape
    padded = (
        fill[None, :, None, None]
        .expand(count, channels, height + 2 * padding, width + 2 * padding)
        .contiguous()
    )
    padded[:, :, padding : padding + height, padding : padding + width] = images
    across = torch.arange(width, device=images.device).expand(count, width)
    across = torch.where(flips[:, None], width - 1 - across, across) + columns[:, None]
    down = torch.arange(height, device=images.device) + rows[:, None]
    pixels = down[:, :, None] * padded.shape[3] + across[:, None, :]
    index = pixels.flatten(1)[:, None].expand(count, channels, height * width)
    return padded.flatten(2).gather(2, index).view(count, channels, height, width)


class CropFlip(Augmentation):
    """Random translation and horizontal mirroring (Achille et al. 2019).

    The augmentation of the critical-period papers, https://arxiv.org/abs/1711.08856.

    Args:
        padding: largest translation in pixels; 0 translates nothing.
        flip: mirror each image left to right with probability 1/2.
        fill: colour of the pixels moved in: `mean` (the training split's mean colour, as the
            authors) or a grey level 0…255.
        during: as `Augmentation`.
        levels: as `Augmentation`.

    Raises:
        UserError: for values outside these ranges.

    Example:
        ```yaml
        class_path: datamodules.CropFlip
        init_args: {padding: 4, levels: {0ep: 1.0, 100ep: 0.5, 150ep: 0.0}}
        ```
    """

    def __init__(
        self,
        padding: int = 4,
        flip: bool = True,
        fill: Literal["mean"] | int = "mean",
        during: tuple[Time, Time] | None = None,
        levels: dict[str, float] | None = None,
    ) -> None:
        super().__init__(during, levels)
        if padding < 0:
            raise UserError("padding", value=padding, fix="set 0 (no translation) or more pixels")
        if fill != "mean" and not 0 <= fill <= 255:
            raise UserError("fill", value=fill, fix="set 'mean' or a grey level in 0…255")
        self.padding, self.flip, self.fill = padding, flip, fill

    def __call__(self, images: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Translate and mirror every image by draws of its own."""
        count = len(images)
        draws = torch.stack(
            [
                torch.randint(0, 2 * self.padding + 1, (count,), generator=generator),
                torch.randint(0, 2 * self.padding + 1, (count,), generator=generator),
                torch.randint(0, 2, (count,), generator=generator),
            ]
        ).to(images.device, non_blocking=True)
        fill = mean.round() if self.fill == "mean" else torch.full_like(mean, self.fill)
        flips = draws[2].bool() if self.flip else torch.zeros_like(draws[2], dtype=torch.bool)
        return crop_flip(images, draws[0], draws[1], flips, self.padding, fill.to(images.dtype))
