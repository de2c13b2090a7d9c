"""How large weights are, and how far from where they began."""

from collections.abc import Mapping

import torch
from torch import Tensor

from plasticity_lab.measurements.functional import norm

Parts = Mapping[str, Tensor]
"""Parameters by name, taken together as one vector w."""


def distance(one: Parts, other: Parts) -> Tensor:
    """Return ||w - w'||, such as the distance from the initial values.

    Examples:
        >>> before, after = {"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])}
        >>> distance(after, before)
        tensor(5., dtype=torch.float64)
    """
    return norm([part - other[name] for name, part in one.items()])


def relative_distance(one: Parts, other: Parts) -> Tensor:
    """Return ||w - w'|| / ||w'||; not finite where w' is zero.

    Examples:
        >>> before, after = {"w": torch.tensor([0.0, 2.0])}, {"w": torch.tensor([0.0, 3.0])}
        >>> relative_distance(after, before)
        tensor(0.5000, dtype=torch.float64)
    """
    return distance(one, other) / norm(other.values())


def angle(one: Parts, other: Parts) -> Tensor:
    """Return the angle between w and w' in degrees, in [0, 180]; NaN where one is zero.

    Exact also for small angles (Kahan).

    Examples:
        >>> before, after = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 2.0])}
        >>> angle(after, before)
        tensor(90., dtype=torch.float64)
    """
    sizes = norm(one.values()), norm(other.values())
    units = [
        (part.double() / sizes[0], other[name].double() / sizes[1]) for name, part in one.items()
    ]
    across, along = (
        norm([first - second for first, second in units]),
        norm([first + second for first, second in units]),
    )
    return 2 * torch.atan2(across, along).rad2deg()
