"""FIRE against numbers of the authors' code and a singular value decomposition."""

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery import isometry, orthogonalise

MATRIX = torch.tensor([[2.0, 1.0], [0.0, 1.0], [1.0, -1.0]])


def layer_of(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def test_gives_the_numbers_of_the_authors_code() -> None:
    polar = torch.tensor([[0.847879, 0.457900], [-0.067921, 0.593742], [0.525821, -0.661663]])
    torch.testing.assert_close(isometry(MATRIX), polar, atol=1e-6, rtol=0)
    layer = layer_of(MATRIX)
    orthogonalise({"": layer})
    expected = torch.tensor([[1.038436, 0.560811], [-0.083186, 0.727183], [0.643997, -0.810368]])
    torch.testing.assert_close(layer.weight.data, expected, atol=1e-6, rtol=0)


def test_ten_iterations_leave_small_singular_values_small_and_exact_does_not() -> None:
    matrix = torch.diag(torch.tensor([1.0, 0.1, 0.01, 0.001]))
    expected = torch.tensor([1.0, 1.0, 0.527, 0.0573])
    torch.testing.assert_close(isometry(matrix).diagonal(), expected, atol=5e-4, rtol=0)
    torch.testing.assert_close(isometry(matrix, None), torch.eye(4))


@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (4, 4)])
def test_the_exact_one_is_the_nearest_isometry(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nearest = isometry(matrix, None)
    narrow = nearest if shape[0] >= shape[1] else nearest.T
    torch.testing.assert_close(narrow.T @ narrow, torch.eye(min(shape), dtype=torch.float64))
    # The polar factor leaves a symmetric, positive rest.
    rest = nearest.T @ matrix if shape[0] >= shape[1] else matrix @ nearest.T
    torch.testing.assert_close(rest, rest.T)
    assert bool((torch.linalg.eigvalsh(rest) > 0).all())
    torch.testing.assert_close(isometry(matrix, 40), nearest)


def test_kernels_are_matrices_at_each_position() -> None:
    conv, norm = nn.Conv2d(3, 8, (3, 2)), nn.BatchNorm2d(8)
    conv = conv.to(memory_format=torch.channels_last)
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    orthogonalise({"conv": conv, "norm": norm}, None)
    for row in range(3):
        for column in range(2):
            expected = isometry(before["weight"][:, :, row, column], None) * (8 / 3) ** 0.5 / 6
            torch.testing.assert_close(conv.weight.data[:, :, row, column], expected)
    assert torch.equal(conv.state_dict()["bias"], before["bias"])
    assert torch.equal(norm.weight.data, torch.ones(8))


def test_what_has_no_weight_of_its_own_is_refused_by_name() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(UserError, match="hidden: computes its weight"):
        orthogonalise({"hidden": layer})


@pytest.mark.parametrize("iterations", [10, None])
def test_zeros_stay(iterations: int | None) -> None:
    layer = layer_of(torch.zeros(2, 2))
    orthogonalise({"head": layer}, iterations)
    assert not layer.weight.any()
