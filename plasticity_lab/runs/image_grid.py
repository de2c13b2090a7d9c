"""Images with their labels, side by side."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

_SIDE, _CAPTION, _GAP = 64, 14, 4


def labelled_grid(images: Tensor, captions: Sequence[str], columns: int = 8) -> Tensor:
    """Draw images in rows, enlarged without smoothing, each above its caption.

    Args:
        images: uint8 (examples, channels, height, width); of more than three channels the first
            three are shown, of two the first.
        captions: one text each; too long ones are cut.
        columns: images in a row.

    Returns:
        uint8 (3, height, width).
    """
    scale = max(1, _SIDE // max(images.shape[2:]))
    colours = images[:, :3] if images.shape[1] >= 3 else images[:, :1]
    large = F.interpolate(colours.float(), scale_factor=scale).to(torch.uint8).expand(-1, 3, -1, -1)
    height, width = large.shape[2:]
    across, down = width + _GAP, height + _CAPTION + _GAP
    sheet = Image.new(
        "RGB", (columns * across + _GAP, -(-len(images) // columns) * down + _GAP), "white"
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for place, (image, caption) in enumerate(zip(large, captions, strict=True)):
        left, top = _GAP + place % columns * across, _GAP + place // columns * down
        sheet.paste(Image.fromarray(image.permute(1, 2, 0).cpu().numpy()), (left, top))
        while caption and pen.textlength(caption, font) > width:
            caption = caption[:-1]
        pen.text((left + width / 2, top + height), caption, "black", font, anchor="ma")
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1)
