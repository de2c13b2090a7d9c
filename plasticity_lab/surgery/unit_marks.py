"""Which channels belong to which units, read off from runs in which some units are NaN."""

from collections.abc import Sequence
from itertools import combinations, islice
from math import comb, nan
from typing import NamedTuple

import torch
from torch import Tensor, nn

from plasticity_lab.surgery.wiring import Change

_NONE, _SEVERAL = -1, -2
"""In the place of the unit that a channel belongs to."""


class Site(NamedTuple):
    """Where units are in a tensor.

    Attributes:
        dim: the dimension that holds channels.
        channels: of each unit, (units, channels of one); CReLU makes two of one.
    """

    dim: int
    channels: Tensor


class Refusal(Exception):
    """Why the units of a layer cannot be recycled."""


def channel_dim(layer: nn.Module) -> int:
    """Return which dimension of a layer's inputs and outputs holds channels."""
    return -1 if isinstance(layer, nn.Linear) else 1


def codes_of(count: int) -> Tensor:
    """Return in which runs which units are marked, bool (runs, units).

    Each unit in as many as any other, and no two in the same: what is marked in more runs than that
    depends on several units.
    """
    runs = next(runs for runs in range(2, count + 2) if comb(runs, runs // 2) >= count)
    codes = torch.zeros(runs, count, dtype=torch.bool)
    for unit, marked in enumerate(islice(combinations(range(runs), runs // 2), count)):
        codes[list(marked), unit] = True
    return codes


def marking(name: str, dim: int, marked: Tensor) -> Change:
    """Return what puts NaN into some units of a layer."""

    def change(other: str, output: Tensor) -> Tensor:
        if other == name:
            output.movedim(dim, 0)[marked.to(output.device)] = nan
        return output

    return change


def marks_of(runs: Sequence[Sequence[Tensor]], dim: int) -> Tensor:
    """Return which channels are NaN in any call of a run, bool (runs, channels) on the CPU."""
    rows = [
        torch.stack([value.isnan().movedim(dim, 0).flatten(1).any(1) for value in values]).any(0)
        for values in runs
    ]
    return torch.stack(rows).cpu()


def sites_of(runs: Sequence[Sequence[Tensor]], codes: Tensor) -> dict[int, Site]:
    """Return where units are in the tensors of which each run has a list."""
    sites = {}
    for number, values in enumerate(zip(*runs, strict=True)):
        if not any(value.isnan().any() for value in values):
            continue
        dims = [dim for dim in range(values[0].ndim) if _only_along(values, dim)]
        if len(dims) != 1:
            raise Refusal("its units are not channels where they are activated or normalised")
        marks = marks_of([[value] for value in values], dims[0])
        sites[number] = Site(dims[0], places_of(marks, codes, "way"))
    return sites


def _only_along(values: Sequence[Tensor], dim: int) -> bool:
    """Whether it depends on the place along one dimension alone what is NaN."""
    rows = [value.isnan().movedim(dim, 0).flatten(1) for value in values]
    return all(bool((row == row[:, :1]).all()) for row in rows)


def places_of(marks: Tensor, codes: Tensor, where: str) -> Tensor:
    """Return which channels belong to each unit, (units, channels of one)."""
    runs, count = codes.shape
    powers = 2 ** torch.arange(runs)
    unit_of = torch.full((2**runs,), _SEVERAL)
    unit_of[0] = _NONE
    unit_of[powers @ codes.long()] = torch.arange(count)
    owners = unit_of[powers @ marks.long()]
    if (owners == _SEVERAL).any():
        raise Refusal(f"its units are mixed on their {where}")
    numbers = torch.bincount(owners[owners >= 0], minlength=count)
    if numbers.min() != numbers.max():
        raise Refusal(f"its units do not all have as many channels on their {where}")
    return owners.argsort(stable=True)[int((owners == _NONE).sum()) :].view(count, -1)
