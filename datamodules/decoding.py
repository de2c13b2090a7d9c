"""From image files to uint8 tensors."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm.auto import tqdm

from datamodules.images import Images
from datamodules.workers import read_batches
from errors import UserError


def decode(path: Path, size: int | None, channels: Literal[1, 3]) -> Tensor:
    """Read an image file (grey, RGB, palette, 16-bit, with or without alpha) as a uint8 tensor (channels, height, width).

    Args:
        path: the file.
        size: height and width to crop centrally and resize to (antialiased bilinear); None keeps the file's.
        channels: 1 for grey, 3 for RGB (a grey image then has three equal channels).

    Raises:
        UserError: if the file is not a readable image.
    """
    try:
        with Image.open(path) as file:
            return to_tensor(file, size, channels)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove the file") from error


def to_tensor(image: Image.Image, size: int | None, channels: Literal[1, 3]) -> Tensor:
    """Convert a PIL image to a uint8 tensor (channels, height, width); see `decode`."""
    if image.mode == "F":
        raise ValueError("floating-point pixels; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16 bits; PIL's own conversion clips them to 255
        image = Image.fromarray((np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    image = image.convert("RGB" if channels == 3 else "L")
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))
    return pixels.permute(2, 0, 1).contiguous() if channels == 3 else pixels[None]


def decode_all(images: Images, name: str) -> Tensor:
    """Read a whole split in parallel, with a progress bar.

    Args:
        images: the split.
        name: what the progress bar calls it.

    Returns:
        uint8 tensor (examples, channels, height, width).
    """
    tensor = torch.empty((len(images), *images.shape), dtype=torch.uint8)
    chunks = [range(start, min(start + 256, len(images))) for start in range(0, len(images), 256)]
    workers = (os.cpu_count() or 1) if len(chunks) > 4 else 0  # processes: threads halve the speed of one
    with tqdm(total=len(images), desc=name, unit="img", disable=None) as bar:
        for chunk, pixels in zip(chunks, read_batches(images, chunks, workers), strict=True):
            tensor[chunk.start : chunk.stop] = pixels
            bar.update(len(chunk))
    return tensor
