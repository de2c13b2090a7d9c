"""How far the gradients of a training rule point away from the true ones."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from plasticity_lab.measurements.weight_distance import angle


def alignment_angles(
    gradients: Mapping[str, Tensor],
    signals: Mapping[str, Tensor],
    groups: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """Return the alignment angles between true gradients and others, in degrees in [0, 180].

    Of all parameters of a group as one vector: 0 is the same direction, below 90 the others descend
    (Lillicrap et al. 2016, https://doi.org/10.1038/ncomms13276). Groups are left out where either
    vector is zero.

    Args:
        gradients: by parameter name.
        signals: what a rule has in their place, by the same names and of the same shapes.
        groups: names of parameters, by the name of their group.

    Examples:
        >>> gradients = {"w": torch.tensor([1.0, 0.0]), "b": torch.tensor([2.0])}
        >>> signals = {"w": torch.tensor([0.0, 3.0]), "b": torch.tensor([1.0])}
        >>> alignment_angles(gradients, signals, {"w": ["w"], "b": ["b"]})
        {'w': 90.0, 'b': 0.0}
    """
    angles = {}
    for group, names in groups.items():
        true = {name: gradients[name] for name in names}
        other = {name: signals[name] for name in names}
        if _any(true) and _any(other):
            angles[group] = float(angle(other, true))
    return angles


def _any(parts: Mapping[str, Tensor]) -> bool:
    return any(bool(part.any()) for part in parts.values())
