"""Units of students and teachers."""

import pytest
import torch
from torch import nn

from plasticity_lab.measurements import (
    best_matches,
    match_ranks,
    matched_units,
    node_correlation,
    outgoing_norms,
    unspecialised,
)
from plasticity_lab.surgery import trace_units

TEACHER = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0], [1.0, 1.0]])
STUDENT = torch.tensor([[2.0, 1.0, 0.0], [4.0, 0.0, 0.0], [0.0, 2.0, 0.0], [2.0, 0.5, 0.0]])


def test_correlations_are_those_of_the_papers_code() -> None:
    expected = torch.tensor([[1.0, -0.9561828, 0.0], [-0.6488857, 0.6592317, 0.0]])
    assert torch.allclose(node_correlation(TEACHER, STUDENT), expected, atol=1e-6)


def test_positions_of_maps_are_examples() -> None:
    maps = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    rows = maps.movedim(1, -1).reshape(-1, 3)
    both = torch.corrcoef(rows.T.double())
    assert torch.allclose(node_correlation(maps, maps).double(), both, atol=1e-6)


def test_the_best_are_told_from_those_that_do_nothing_of_the_teachers() -> None:
    correlation = node_correlation(TEACHER, STUDENT)
    assert best_matches(correlation).student.tolist() == [0, 1]
    assert unspecialised(correlation, 0.5).tolist() == [False, False, True]
    assert match_ranks(correlation, torch.tensor([2, 0])).tolist() == [1, 2]
    assert match_ranks(correlation, torch.tensor([0, 1])).tolist() == [0, 0]


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_the_matched_are_the_best_of_each_teacher_unit(count: int) -> None:
    correlation = torch.randn(4, 30, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    best: set[int] = set()
    for row in (-correlation).tolist():
        best |= {*sorted(range(30), key=row.__getitem__)[:count]}
    assert {*matched_units(correlation, count).nonzero()[:, 0].tolist()} == best
    assert len(best) <= min(4 * count, 30)


def test_norms_are_of_all_that_a_unit_feeds() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5)
    )
    units = trace_units(network, torch.zeros(1, 1, 6, 6)).units
    kernels, columns = (network.get_submodule(name).get_parameter("weight") for name in ("2", "5"))
    assert torch.allclose(outgoing_norms(network, units["0"]), kernels.pow(2).sum((0, 2, 3)).sqrt())
    flattened = columns.view(5, 2, 4).pow(2).sum((0, 2)).sqrt()
    assert torch.allclose(outgoing_norms(network, units["2"]), flattened)
