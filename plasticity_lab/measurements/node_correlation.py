"""Which units of a student do what a unit of its teacher does (Tian et al. 2019)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from plasticity_lab.surgery.units import Units

_EPSILON = 1e-10


def node_correlation(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the correlation of every teacher unit with every student unit, (teachers, students).

    Tian et al. 2019, https://arxiv.org/abs/1905.13405: the cosine of centred activations over
    examples, in [-1, 1]; 0 for units that are constant.

    Args:
        teacher: activations (examples, teachers); maps (examples, teachers, height, width) count
            each position as an example.
        student: activations (examples, students) on the same inputs, likewise.

    Examples:
        >>> teacher = torch.tensor([[1.0], [2.0], [0.0]])
        >>> node_correlation(teacher, torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 0.0]]))
        tensor([[1., 0.]])
    """
    scaled = []
    for values in (teacher, student):
        rows = values.double().movedim(1, -1).flatten(0, -2)
        centred = rows - rows.mean(0)
        scaled.append(centred / (centred.square().sum(0) + _EPSILON).sqrt())
    return (scaled[0].T @ scaled[1]).to(teacher.dtype)


class Matches(NamedTuple):
    """Which student unit is best for each teacher unit.

    Attributes:
        correlation: of the best one, (teachers,).
        student: its number, int64 (teachers,); several teachers may share one.
    """

    correlation: Tensor
    student: Tensor


def best_matches(correlation: Tensor) -> Matches:
    """Return the student unit with the largest correlation for each teacher unit.

    Args:
        correlation: as `node_correlation` returns it.

    Examples:
        >>> best_matches(torch.tensor([[0.2, 0.9], [0.8, -1.0]])).student
        tensor([1, 0])
    """
    return Matches(*correlation.max(1))


def matched_units(correlation: Tensor, count: int) -> Tensor:
    """Return which student units are among the best of some teacher unit, bool (students,).

    The lucky ones of Tian et al. 2019, https://arxiv.org/abs/1905.13405. A student may be among the
    best of several teacher units, so that there are `count` for each teacher unit or fewer. Of
    equal correlations the first students come first.

    Args:
        correlation: as `node_correlation` returns it.
        count: how many students of each teacher unit, 1 or more; with as many as there are, all.

    Examples:
        >>> matched_units(torch.tensor([[0.2, 0.9, 0.5], [0.1, 0.8, -1.0]]), 1)
        tensor([False,  True, False])
    """
    best = correlation.argsort(dim=1, descending=True, stable=True)[:, :count]
    matched = torch.zeros_like(correlation[0], dtype=torch.bool)
    matched[best.flatten()] = True
    return matched


def match_ranks(correlation: Tensor, students: Tensor) -> Tensor:
    """Return how many students were better for each teacher unit, int64 (teachers,).

    With the correlation before training and the students that won after it, a lucky student has 0.

    Args:
        correlation: as `node_correlation` returns it.
        students: one for each teacher unit, (teachers,).

    Examples:
        >>> match_ranks(torch.tensor([[0.2, 0.9, 0.5]]), torch.tensor([2]))
        tensor([1])
    """
    chosen = correlation.gather(1, students[:, None])
    return (correlation > chosen).sum(1)


def unspecialised(correlation: Tensor, below: float) -> Tensor:
    """Return which student units correlate with no teacher unit, bool (students,).

    Args:
        correlation: as `node_correlation` returns it.
        below: the correlation, in absolute value, under which none counts.

    Examples:
        >>> unspecialised(torch.tensor([[0.9, 0.1], [0.2, -0.3]]), 0.5)
        tensor([False,  True])
    """
    return correlation.abs().amax(0) < below


def outgoing_norms(network: nn.Module, units: Units) -> Tensor:
    """Return the norm of the weights by which each unit feeds the next layers, (units,).

    Args:
        network: whose layer it is.
        units: as `trace_units` returns them; layers of groups are not for it.

    Examples:
        >>> from plasticity_lab.surgery import select_units
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> units = select_units(network, torch.zeros(1, 3))
        >>> outgoing_norms(network, units["0"]).allclose(network[2].weight.norm(dim=0))
        True
    """
    squares = torch.zeros(units.count, dtype=torch.float64)
    for name, places in units.consumers.items():
        weight = network.get_submodule(name).get_parameter("weight").detach().double().cpu()
        columns = weight.square().transpose(0, 1).flatten(1).sum(1)
        squares += columns[places].sum(1)
    return squares.sqrt().float()
