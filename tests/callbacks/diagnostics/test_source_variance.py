"""Shares of units that follow one sensor."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from callbacks import Look, Probe, SourceVariance
from callbacks.diagnostics.base import check_diagnostic
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time

EVERY = Time("1ep")


class Halves(nn.Module):
    """Three units of the left half, one of the right, four of both alike, and two of neither."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x[..., 0].mean((1, 2)), x[..., 1].mean((1, 2))
        units = [left] * 3 + [right] + [left + right] * 4 + [torch.zeros_like(left)] * 2
        logits: Tensor = self.head(torch.stack(units, 1))
        return logits


def look(network: nn.Module, *shape: int) -> Look:
    inputs = torch.arange(8.0).view(2, *shape)
    return Look(network, Probe(inputs, torch.zeros(2).long(), torch.arange(2)))


def test_shares_are_of_units_that_follow_either() -> None:
    measured = dict(SourceVariance(EVERY, examples=2, fixed=1).look_at(look(Halves(), 1, 2, 2)))
    assert isinstance(measured.pop("source_variances"), Figure)
    assert measured == {
        "source_variance/silent": 0.2,
        "source_variance/mean": pytest.approx(2 / 8),
        "source_variance/absolute": pytest.approx(4 / 8),
        "source_variance/left": 3 / 8,
        "source_variance/right": 1 / 8,
    }


def test_without_any_there_are_no_shares() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        for value in network[1].parameters():
            value.zero_()
    measured = SourceVariance(EVERY, examples=2, fixed=1).look_at(look(network, 1, 2, 2))
    assert measured == {"source_variance/silent": 1.0}


@pytest.mark.parametrize("fixed", [0, 3])
def test_a_number_of_pairs_that_the_probe_has_not_is_refused(fixed: int) -> None:
    with pytest.raises(UserError, match=f"fixed: {fixed}: set 1 to 2"):
        SourceVariance(EVERY, examples=2, fixed=fixed)


def test_vectors_have_no_halves() -> None:
    network: Any = nn.Linear(4, 2)
    vectors = look(network, 4)
    with pytest.raises(UserError, match=r"^SourceVariance: data: are no images, which have halves"):
        check_diagnostic(SourceVariance(EVERY, examples=2, fixed=1), vectors)
