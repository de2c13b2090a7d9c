"""Products, Lanczos, spectra and subspaces against dense matrices."""

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.measurements.functional import detached_parameters, flatten, mean_loss
from plasticity_lab.measurements.gradient_covariance import gradient_covariance
from plasticity_lab.measurements.hvp import gradient, hessian_vector_product
from plasticity_lab.measurements.lanczos import lanczos, largest_eigenpairs
from plasticity_lab.measurements.lanczos_quadrature import (
    hutchinson,
    lanczos_quadrature,
    spectral_density,
)
from plasticity_lab.measurements.subspace import curvature_overlap, share_within, subspace_overlap
from tests.measurements.toys import Toy, as_vector, convolutional, mlp


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def symmetric(values: Tensor, seed: int = 0) -> Tensor:
    turn, _ = torch.linalg.qr(draw(len(values), len(values), seed=seed))
    matrix: Tensor = turn @ values.diag() @ turn.T
    return matrix


@pytest.mark.parametrize("toy", [mlp(nn.Tanh), mlp(), convolutional()])
def test_products_are_those_of_the_dense_matrices(toy: Toy) -> None:
    parameters, loss = (
        detached_parameters(toy.network),
        mean_loss(toy.network, toy.images, toy.labels),
    )
    vector, dense = draw(flatten(parameters).numel()), toy.hessian()
    assert torch.allclose(
        gradient(loss, parameters),
        torch.func.grad(as_vector(loss, parameters))(flatten(parameters).detach()),
    )
    assert torch.allclose(
        hessian_vector_product(loss, parameters)(vector), dense @ vector, rtol=1e-10, atol=1e-12
    )


def test_parameters_that_do_not_curve_get_zero() -> None:
    network = nn.Linear(3, 2).double()
    parameters = detached_parameters(network)
    product = hessian_vector_product(
        lambda values: (values["weight"] ** 3).sum() + values["bias"].sum(), parameters
    )
    vector = draw(8)
    expected = torch.cat(
        [6 * network.weight.detach().flatten() * vector[:6], torch.zeros(2, dtype=torch.float64)]
    )
    assert torch.allclose(product(vector), expected)


def test_frozen_parameters_are_no_part() -> None:
    toy = mlp()
    toy.network[0].weight.requires_grad_(False)  # type: ignore[index]
    assert list(detached_parameters(toy.network)) == ["0.bias", "2.weight", "2.bias"]


def test_whole_lanczos_is_the_matrix() -> None:
    values = torch.linspace(-2, 5, 30, dtype=torch.float64)
    matrix = symmetric(values)
    tridiagonal = lanczos(lambda vector: matrix @ vector, draw(30), 40)
    assert len(tridiagonal.diagonal) == 30
    assert torch.allclose(tridiagonal.eigh()[0], values, atol=1e-10)
    vectors = torch.stack(list(tridiagonal.vectors), 1)
    assert torch.allclose(vectors.T @ vectors, torch.eye(30, dtype=torch.float64), atol=1e-12)
    assert float(tridiagonal.off_diagonal[-1]) == 0


def test_an_exhausted_space_ends_it() -> None:
    matrix = symmetric(torch.tensor([3.0, 3.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64))
    tridiagonal = lanczos(lambda vector: matrix @ vector, draw(6), 6)
    assert len(tridiagonal.diagonal) == 3, "as many as there are different eigenvalues"


def test_largest_eigenpairs_are_the_algebraically_largest() -> None:
    values = torch.cat([torch.tensor([-50.0, 9.0, 7.0, 5.0]), torch.linspace(0, 1, 196)]).double()
    matrix = symmetric(values)
    pairs = largest_eigenpairs(lambda vector: matrix @ vector, draw(200), 3, tolerance=1e-6)
    assert torch.allclose(
        pairs.values, torch.tensor([9.0, 7.0, 5.0], dtype=torch.float64), rtol=1e-6
    )
    assert torch.allclose(matrix @ pairs.vectors, pairs.vectors * pairs.values, atol=1e-2)
    assert pairs.products < 40


def test_many_eigenpairs_are_found_however_many_products_they_take() -> None:
    values = torch.cat([torch.linspace(-0.01, 0.01, 200), torch.linspace(1, 10, 200)]).double()
    matrix = symmetric(values)
    pairs = largest_eigenpairs(lambda vector: matrix @ vector, draw(400), 200)
    assert torch.allclose(pairs.values, values.flip(0)[:200], rtol=1e-3)


def test_looser_tolerance_takes_fewer_products_and_holds() -> None:
    values = torch.logspace(1, -4, 300, dtype=torch.float64)
    matrix = symmetric(values)
    loose, tight = (
        largest_eigenpairs(lambda vector: matrix @ vector, draw(300), 10, tolerance=tolerance)
        for tolerance in (1e-2, 1e-6)
    )
    assert loose.products < tight.products < 120
    assert ((loose.values - values[:10]).abs() <= 1e-2 * values[:10]).all()
    assert ((tight.values - values[:10]).abs() <= 1e-6 * values[:10]).all()


def test_quadrature_has_the_moments() -> None:
    matrix = symmetric(torch.logspace(0, -3, 40, dtype=torch.float64))
    start = draw(40, seed=3)
    nodes = lanczos_quadrature(
        lambda vector: matrix @ vector, start, 10, 1, torch.Generator().manual_seed(3)
    )
    first = draw(40, seed=3) / draw(40, seed=3).norm()
    assert float(nodes.weights.sum()) == pytest.approx(1)
    power = first
    for moment in range(1, 6):
        power = matrix @ power
        assert float((nodes.weights * nodes.values**moment).sum()) == pytest.approx(
            float(first @ power)
        )


def test_density_is_that_of_the_eigenvalues() -> None:
    values = torch.cat([torch.zeros(50), torch.full((50,), 2.0)]).double()
    matrix = symmetric(values)
    nodes = lanczos_quadrature(
        lambda vector: matrix @ vector, values, 10, 200, torch.Generator().manual_seed(0)
    )
    grid = torch.linspace(-1, 3, 4001, dtype=torch.float64)
    shares = spectral_density(nodes, grid, 1e-2)
    assert float(torch.trapezoid(shares, grid)) == pytest.approx(1, abs=1e-3)
    exact = (torch.exp(-((grid[:, None] - values) ** 2) / 0.02) / (0.02 * torch.pi) ** 0.5).mean(1)
    assert float(torch.trapezoid((shares - exact).abs(), grid)) < 0.03


def test_hutchinson_is_exact_over_all_signs_of_a_diagonal() -> None:
    matrix = symmetric(torch.tensor([4.0, 1.0, -2.0], dtype=torch.float64))
    mean, error = hutchinson(
        lambda vector: matrix @ vector, draw(3), 4000, torch.Generator().manual_seed(0)
    )
    assert abs(mean - 3) < 4 * error
    variance = 2 * float(matrix.pow(2).sum() - matrix.diagonal().pow(2).sum())
    assert error == pytest.approx((variance / 4000) ** 0.5, rel=0.05)
    assert hutchinson(lambda vector: 2 * vector, draw(3), 2, torch.Generator()) == (6.0, 0.0)


def test_shares_and_overlaps() -> None:
    basis, _ = torch.linalg.qr(draw(20, 4))
    vector = draw(20, seed=1)
    assert share_within(basis @ draw(4), basis) == pytest.approx(1)
    assert share_within(vector, torch.eye(20, dtype=torch.float64)) == pytest.approx(1)
    assert share_within(vector, basis) == pytest.approx(
        float(((basis @ basis.T @ vector) ** 2).sum() / (vector**2).sum())
    )
    turn, _ = torch.linalg.qr(draw(4, 4, seed=2))
    assert subspace_overlap(basis, basis @ turn) == pytest.approx(1)
    basis_8, _ = torch.linalg.qr(draw(20, 8, seed=5))
    assert subspace_overlap(basis_8[:, :4], basis_8[:, 4:]) == pytest.approx(0, abs=1e-12)
    assert curvature_overlap(vector, -3 * vector) == pytest.approx(-1)


def test_two_points_of_softmax_regression() -> None:
    """H has exactly the nonzero eigenvalues p_a (1 - p_a), and the gradient lies in their span."""
    network = nn.Linear(6, 2, bias=False).double()
    images, labels = torch.eye(6, dtype=torch.float64)[:2], torch.tensor([0, 1])
    parameters, loss = detached_parameters(network), mean_loss(network, images, labels)
    top = largest_eigenpairs(hessian_vector_product(loss, parameters), draw(12), 2, tolerance=1e-10)
    shares = network(images).softmax(1).detach()[:, 0]
    assert torch.allclose(top.values, (shares * (1 - shares)).sort(descending=True).values)
    assert share_within(gradient(loss, parameters), top.vectors) == pytest.approx(1)


def test_gradient_covariance_is_numpys() -> None:
    rows = draw(7, 50)
    covariance = gradient_covariance(list(rows))
    dense = torch.cov(rows.T, correction=0)
    assert covariance.largest == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]))
    assert covariance.trace == pytest.approx(float(dense.trace()))
