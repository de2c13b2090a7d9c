"""How much of what a unit says comes from either of two sources."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from plasticity_lab.measurements.features import last_features
from plasticity_lab.measurements.image_halves import join_halves

_ROUNDING = 1e-6
"""Of single precision: a spread below this share of the largest value is none."""


def source_variance(features: Tensor) -> Tensor:
    """Return the variance of each unit while one source varies, SV_i(A, b) = Var_A f(A, b)_i.

    Kleinman et al. 2023, https://arxiv.org/abs/2210.04643. A spread within the rounding errors of
    single precision is 0.

    Args:
        features: (draws of A, units), with B held at b.

    Returns:
        float64 (units,), 0 or more.

    Examples:
        >>> source_variance(torch.tensor([[1.0, 3.0], [3.0, 3.0]]))
        tensor([1., 0.], dtype=torch.float64)
    """
    values = features.double()
    variances = values.var(0, correction=0)
    rounding = (_ROUNDING * values.abs().amax(0)).square()
    return torch.where(variances > rounding, variances, 0)


def relative_source_variance(of_a: Tensor, of_b: Tensor) -> Tensor:
    """Return RSV = (SV(A, b) - SV(B, a)) / (SV(A, b) + SV(B, a)).

    Kleinman et al. 2023, https://arxiv.org/abs/2210.04643.

    Args:
        of_a: variances while A varies, 0 or more, of any shape.
        of_b: variances while B varies, of the same shape.

    Returns:
        In [-1, 1]: 1 of a unit that follows A alone, -1 of one that follows B alone, 0 of one that
        follows both alike, and NaN of one that follows neither.

    Examples:
        >>> variances = torch.tensor([2.0, 3.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 5.0, 0.0])
        >>> relative_source_variance(*variances)
        tensor([ 1.0000,  0.5000, -1.0000,     nan])
    """
    return (of_a - of_b) / (of_a + of_b)


def half_image_variances(network: nn.Module, images: Tensor, fixed: int) -> Tensor:
    """Return the relative source variances of the last hidden features, with halves as sources.

    Source A is the left half of an image and B the right one, as `TwoPathNetwork` sees them. While
    one varies over all images, the other is held at that of each of the first images in turn.
    Costs 2 * fixed * examples forward passes.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width), as the network takes them.
        fixed: number of images whose halves are held fixed, 1 or more; all, if there are no more.

    Returns:
        float64 (images held fixed, units), as `relative_source_variance`.

    Examples:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> with torch.no_grad():
        ...     _ = network[1].weight.copy_(torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]))
        >>> half_image_variances(
        ...     nn.Sequential(*network, nn.Linear(2, 2)), torch.rand(5, 1, 2, 2), 1)
        tensor([[ 1., -1.]], dtype=torch.float64)
    """
    return torch.stack(list(_variances(network, images, fixed)))


def _variances(network: nn.Module, images: Tensor, fixed: int) -> Iterator[Tensor]:
    """Yield the relative source variances at each pair of fixed halves."""
    for image in images[:fixed]:
        held = image.expand_as(images)
        left_varies = last_features(network, join_halves(images, held))
        right_varies = last_features(network, join_halves(held, images))
        yield relative_source_variance(source_variance(left_varies), source_variance(right_varies))
