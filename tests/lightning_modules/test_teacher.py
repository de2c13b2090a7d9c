"""Teachers of Tian et al. 2019."""

import pytest
import torch

from lightning_modules.networks import TeacherMLP
from lightning_modules.networks.teacher import VALUES, TeacherLinear
from plasticity_lab.errors import UserError


def test_rows_are_distinct_draws_of_length_one() -> None:
    torch.manual_seed(0)
    # With two inputs only 24 rows are no zero: all of them are there.
    layer = TeacherLinear(2, 24)
    assert torch.allclose(layer.weight.norm(dim=1), torch.ones(24), atol=1e-3)
    layer = TeacherLinear(6, 50)
    assert len({tuple(row) for row in layer.weight.tolist()}) == 50
    rows = layer.weight / layer.weight.abs().amax(1, keepdim=True)
    halves = torch.tensor(VALUES) / 0.5
    assert ((rows[..., None] - halves).abs().amin(-1) < 1e-5).logical_or(rows.abs() < 1).all()
    assert layer.bias.abs().max() <= 0.5 / 0.25


def test_more_rows_than_there_are_are_refused() -> None:
    TeacherLinear(1, 4)
    with pytest.raises(UserError, match="widths: 5: of 1 inputs there are 4 distinct rows"):
        TeacherMLP(1, 3, 1, widths=[5])


def test_the_papers_teacher_has_four_hidden_layers() -> None:
    network = TeacherMLP(20, 100, 1)
    shapes = [tuple(value.shape) for value in network.parameters() if value.ndim == 2]
    assert shapes == [(10, 20), (15, 10), (20, 15), (25, 20), (100, 25)]
    assert network(torch.randn(4, 20)).shape == (4, 100)
