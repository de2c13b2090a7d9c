"""Networks on the line between two others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.surgery.norm_statistics import batch_norm_layers, update_bn

Pairs = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Makes a pass over batches of images and labels."""


class Point(NamedTuple):
    """A network on the line.

    Attributes:
        alpha: share of the first network, in [0, 1].
        loss: mean cross-entropy.
        error: share of examples classified wrongly.
    """

    alpha: float
    loss: float
    error: float


def interpolate(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """Return alpha · first + (1 - alpha) · second of parameters and buffers.

    Whole numbers (counts of batches) are the second's.
    """
    return {
        name: torch.lerp(value, first[name], alpha) if value.is_floating_point() else value
        for name, value in second.items()
    }


def barrier(values: Sequence[float]) -> float:
    """Return the largest value on the line minus the mean of both ends.

    Frankle et al. 2020, https://arxiv.org/abs/1912.05671.

    (Others subtract the larger end, or the line between the ends.)
    """
    return max(values) - (values[0] + values[-1]) / 2


@torch.no_grad()
def evaluate(network: nn.Module, pairs: Pairs) -> tuple[float, float]:
    """Return mean cross-entropy and the share of wrong predictions, in evaluation mode."""
    network.eval()
    loss, wrong, count = 0.0, 0, 0
    for images, labels in pairs():
        logits = network(images)
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        wrong += int((logits.argmax(1) != labels).sum())
        count += len(labels)
    return loss / count, wrong / count


def interpolate_path(
    network: nn.Module,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    points: int,
    pairs: Pairs,
    batches: Sequence[Tensor],
) -> dict[str, list[Point]]:
    """Evaluate networks on the line between two, evenly spaced, ends included.

    Args:
        network: takes the values, and keeps the last of them.
        first: a `state_dict` of it.
        second: another.
        points: how many, 2 or more.
        pairs: what they are evaluated on.
        batches: images that normalisation statistics are estimated from.

    Returns:
        `interpolated`: normalisation statistics on the line as well; with batch norm also
            `estimated`: estimated at each point.
    """
    kinds = ("interpolated", "estimated") if batch_norm_layers(network) else ("interpolated",)
    curves: dict[str, list[Point]] = {kind: [] for kind in kinds}
    for alpha in torch.linspace(0, 1, points, dtype=torch.float64).tolist():
        for kind, curve in curves.items():
            network.load_state_dict(interpolate(first, second, alpha))
            if kind == "estimated":
                update_bn(network, batches)
            curve.append(Point(alpha, *evaluate(network, pairs)))
    return curves


def barriers(curve: Sequence[Point]) -> dict[str, float]:
    """Return the barriers of loss and error."""
    return {
        "loss": barrier([point.loss for point in curve]),
        "error": barrier([point.error for point in curve]),
    }
