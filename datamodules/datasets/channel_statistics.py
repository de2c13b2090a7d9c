"""Mean and standard deviation of a split's channels."""

import torch
from torch import Tensor

from datamodules.datasets.cache import disk_cached
from datamodules.datasets.split import Split
from datamodules.datasets.streaming import stream_batches


def channel_statistics(histogram: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every channel, in grey levels, from its histogram.

    Args:
        histogram: int64 (channels, 256), how many pixels have each grey level.

    Returns:
        Two float32 tensors (channels,), in 0…255; the deviation of a constant channel is given as
        1.
    """
    levels = torch.arange(256, dtype=torch.float64)
    weights = histogram.double() / histogram.sum(1, keepdim=True)
    mean = weights @ levels
    deviation = (weights * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    return mean.float(), torch.where(deviation > 0, deviation, 1).float()


def channel_histogram(images: Split, resident: bool, workers: int = 0) -> Tensor:
    """Count how often each grey level occurs in each channel.

    Exact, so the same whichever way the images are read.

    Args:
        images: the split.
        resident: read it as one tensor; otherwise image by image, once, with the result cached on
            disk.
        workers: worker processes for that.

    Returns:
        int64 (channels, 256).
    """
    if resident:
        return _count(images.tensor())
    chunks = [range(start, min(start + 256, len(images))) for start in range(0, len(images), 256)]
    read = stream_batches(images, chunks, workers)
    return disk_cached(
        f"{images.cache_key()}-histogram",
        lambda: torch.stack([_count(chunk) for chunk in read]).sum(0),
    )


def _count(images: Tensor) -> Tensor:
    return torch.stack(
        [
            torch.bincount(images[:, channel].flatten(), minlength=256)
            for channel in range(images.shape[1])
        ]
    )
