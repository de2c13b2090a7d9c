"""How large weights are, and how far from their initial values."""

from collections.abc import Mapping

import torch
from torch import Tensor

from plasticity_lab.measurements.functional import norm

Parts = Mapping[str, Tensor]
"""Parameters by name, taken together as one vector w."""


def distance(weights: Parts, reference: Parts) -> Tensor:
    """Return ||w - w'||, such as the distance from the initial values.

    Examples:
        >>> before, after = {"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])}
        >>> distance(after, before)
        tensor(5., dtype=torch.float64)
    """
    return norm([part - reference[name] for name, part in weights.items()])


def relative_distance(weights: Parts, reference: Parts) -> Tensor:
    """Return ||w - w'|| / ||w'||; not finite where w' is zero.

    Examples:
        >>> before, after = {"w": torch.tensor([0.0, 2.0])}, {"w": torch.tensor([0.0, 3.0])}
        >>> relative_distance(after, before)
        tensor(0.5000, dtype=torch.float64)
    """
    return distance(weights, reference) / norm(reference.values())


def angle(weights: Parts, reference: Parts) -> Tensor:
    """Return the angle between w and w' in degrees, in [0, 180]; NaN where one is zero.

    Exact also for small angles (Kahan).

    Examples:
        >>> before, after = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 2.0])}
        >>> angle(after, before)
        tensor(90., dtype=torch.float64)
    """
    length, reference_length = norm(weights.values()), norm(reference.values())
    sums, differences = [], []
    for name, part in weights.items():
        unit = part.double() / length
        reference_unit = reference[name].double() / reference_length
        sums.append(unit + reference_unit)
        differences.append(unit - reference_unit)
    return 2 * torch.atan2(norm(differences), norm(sums)).rad2deg()
