"""Which units have been silent for longer than is usual for them (Farias & Jozefiak 2024)."""

import torch
from torch import Tensor


@torch.no_grad()
def update_silences(ages: Tensor, histogram: Tensor, fired: Tensor, length: int = 1) -> None:
    """Let units be silent for longer, or end a silence, in place.

    A unit that fires at once again ends a silence of length 0.

    Args:
        ages: how long each unit has been silent, int64 (units,).
        histogram: how many silences of which length there were, integers (units, lengths); longer
            ones count as the longest.
        fired: which units have been above 0, bool (units,).
        length: of what is added to a silence: a step, or the examples of a batch.

    Examples:
        >>> ages, histogram = torch.tensor([2, 2]), torch.zeros(2, 5, dtype=torch.int64)
        >>> update_silences(ages, histogram, torch.tensor([True, False]))
        >>> ages, histogram[0]
        (tensor([0, 3]), tensor([0, 0, 1, 0, 0]))
    """
    record_silences(ages, histogram, fired)
    ages.add_(length).masked_fill_(fired, 0)


@torch.no_grad()
def record_silences(ages: Tensor, histogram: Tensor, ended: Tensor) -> None:
    """Count the silences of some units that end, in place; arguments as `update_silences`.

    Examples:
        >>> histogram = torch.zeros(1, 3, dtype=torch.int64)
        >>> record_silences(torch.tensor([7]), histogram, torch.tensor([True]))
        >>> histogram
        tensor([[0, 0, 1]])
    """
    bins = ages.clamp(max=histogram.shape[1] - 1)[:, None]
    histogram.scatter_add_(1, bins, ended.to(histogram.dtype)[:, None])


@torch.no_grad()
def update_thresholds(
    thresholds: Tensor, histogram: Tensor, percentile: float, least: int, most: int
) -> None:
    """Set the silence after which each unit is reset, in place, from those that it has had.

    To the percentile of the lengths of its silences if that is less, and to twice the threshold
    otherwise. Silences of length 0 do not count. A unit without a silence that counts keeps its
    threshold: the released code sets it to the least one there, so that units are reset as soon as
    they have been silent once.

    Args:
        thresholds: int64 (units,).
        histogram: as `update_silences` fills it; it is left alone.
        percentile: in [0, 1].
        least: thresholds are no lower, 1 or more.
        most: thresholds are no higher.

    Examples:
        >>> histogram = torch.zeros(2, 1000, dtype=torch.int64)
        >>> histogram[0, 100], histogram[0, 200] = 90, 10
        >>> thresholds = torch.tensor([400, 400])
        >>> update_thresholds(thresholds, histogram, percentile=0.95, least=1, most=1000)
        >>> thresholds
        tensor([200, 400])
    """
    silences = histogram[:, 1:]
    counts = silences.sum(1)
    shares = silences.cumsum(1).double() / counts.clamp(min=1)[:, None]
    lengths = 1 + (shares >= percentile).int().argmax(1)
    updated = torch.where(lengths < thresholds, lengths, 2 * thresholds).clamp(least, most)
    thresholds.copy_(torch.where(counts > 0, updated, thresholds))
