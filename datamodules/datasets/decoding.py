"""From image files to uint8 tensors."""

import os
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, features
from torch import Tensor
from tqdm.auto import tqdm

from datamodules.datasets.file_names import one_line, printable
from datamodules.datasets.split import Split
from datamodules.datasets.streaming import stream_batches
from plasticity_lab.errors import UserError

Size = int | tuple[int, int]
"""Pixels of an image: height and width, or one number for a square."""

_RULES = 2
"""Version of what `decode` returns; images cached by another one are decoded again."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of each EXIF orientation upright."""


@cache
def decoder() -> str:
    """Name what decides the pixels of a file: this module's rules, Pillow and its codecs."""
    names = ["pil", *features.get_supported_codecs(), "webp", "avif"]
    return " ".join([f"rules {_RULES}", *(f"{name} {features.version(name)}" for name in names)])


def decode(path: str | Path, size: Size | None, channels: Literal[1, 3]) -> Tensor:
    """Read an image file as a uint8 tensor (channels, height, width).

    It may be grey, RGB, a palette or 16-bit, with or without alpha.

    As a viewer shows it: turned as its EXIF orientation says, transparent parts on white; of an
    animation, the first frame.

    Args:
        path: the file.
        size: height and width to crop centrally and resize to (antialiased bilinear), one number
            for a square; None keeps the file's.
        channels: 1 for grey, 3 for RGB (a grey image then has three equal channels).

    Raises:
        UserError: if the file is not a readable image.
    """
    try:
        with Image.open(path) as file:
            return to_tensor(upright(file), size, channels)
    except Exception as error:
        # Decoders raise whatever damage leads them to.
        raise UserError(
            printable(path),
            problem=f"not a readable image ({one_line(error)})",
            fix="replace or remove the file",
        ) from error


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says; as it is stored where that cannot be read."""
    # Loading first: some formats turn the image then, and take the orientation away.
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Damaged EXIF data does not make the pixels unreadable.
        return image
    return image if turn is None else image.transpose(turn)


def to_tensor(image: Image.Image, size: Size | None, channels: Literal[1, 3]) -> Tensor:
    """Convert a PIL image to a uint8 tensor (channels, height, width); see `decode`."""
    if image.mode == "F":
        raise ValueError("floating-point pixels; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    elif image.has_transparency_data:
        image = _on_white(image)
    image = image.convert("RGB" if channels == 3 else "L")
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))
    return pixels.permute(2, 0, 1).contiguous() if channels == 3 else pixels[None]


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert 16-bit grey to 8 bits, its transparent level to white.

    Pillow's own conversion clips it to 255.
    """
    pixels = np.asarray(image, np.float64)
    if "transparency" in image.info:
        pixels = np.where(pixels == image.info["transparency"], 65535, pixels)
    return Image.fromarray((pixels / 257).round().clip(0, 255).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Lay an image with transparency on a white ground."""
    layer = image.convert("RGBA")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(layer, mask=layer)
    return ground


def decode_all(images: Split, name: str) -> Tensor:
    """Read a whole split in parallel, with a progress bar.

    Args:
        images: the split.
        name: what the progress bar calls it.

    Returns:
        uint8 tensor (examples, channels, height, width).
    """
    tensor = torch.empty((len(images), *images.shape), dtype=torch.uint8)
    chunks = [range(start, min(start + 256, len(images))) for start in range(0, len(images), 256)]
    workers = (
        (os.cpu_count() or 1) if len(chunks) > 4 else 0
    )  # processes: threads halve the speed of one
    with tqdm(total=len(images), desc=name, unit="img", disable=None) as bar:
        for chunk, pixels in zip(chunks, stream_batches(images, chunks, workers), strict=True):
            tensor[chunk.start : chunk.stop] = pixels
            bar.update(len(chunk))
    return tensor
