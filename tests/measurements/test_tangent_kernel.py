"""The tangent kernel against the dense Jacobian."""

import pytest
import torch
from torch import nn

from plasticity_lab.measurements import tangent_kernel
from plasticity_lab.measurements.functional import detached_parameters, forward
from plasticity_lab.measurements.tangent_kernel import (
    alignment,
    eigh_descending,
    energy,
    tangent_kernels,
)
from tests.measurements.toys import Toy, convolutional, jacobian, mlp


@pytest.mark.parametrize("toy", [mlp(nn.Tanh), convolutional()])
@pytest.mark.parametrize("chunk", [5, 100])
def test_kernels_of_parameters_sum_to_that_of_the_jacobian(toy: Toy, chunk: int) -> None:
    kernels, dense = tangent_kernels(toy.network, toy.images, chunk), jacobian(toy).flatten(1)
    kernel = torch.stack(list(kernels.values())).sum(0)
    assert torch.allclose(kernel, dense @ dense.T, rtol=1e-12, atol=1e-14)
    assert list(kernels) == list(detached_parameters(toy.network))


def test_what_does_not_fit_is_taken_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = mlp(nn.Tanh)
    at_once = tangent_kernels(toy.network, toy.images)
    monkeypatch.setattr(tangent_kernel, "NUMBERS", 24 * 20)
    assert [
        len(group) for group in tangent_kernel._groups(detached_parameters(toy.network), 24)
    ] == [1, 1, 1, 1]
    assert all(
        torch.equal(part, at_once[name])
        for name, part in tangent_kernels(toy.network, toy.images).items()
    )


def test_v_k_v_is_one_backward_pass() -> None:
    toy = mlp(nn.Tanh)
    vector = torch.randn(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = torch.stack(list(tangent_kernels(toy.network, toy.images).values())).sum(0)
    parameters = detached_parameters(toy.network)
    squares = 0.0
    for place in range(3):
        output = forward(toy.network, parameters, toy.images)[:, place] @ vector
        squares += sum(
            float(part.pow(2).sum())
            for part in torch.autograd.grad(output, list(parameters.values()))
        )
    assert float(vector @ kernel @ vector) == pytest.approx(squares)


def test_energy_is_the_squared_cosine() -> None:
    toy = mlp(nn.Tanh)
    values, vectors = eigh_descending(
        torch.stack(list(tangent_kernels(toy.network, toy.images).values())).sum(0)
    )
    assert (values.diff() <= 0).all()
    assert energy(vectors, vectors[:, 0])[0] == pytest.approx(1)
    target = torch.randn(24, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    energies = energy(vectors, target)
    assert (energies.diff() >= 0).all()
    assert energies[-1] == pytest.approx(1)
    top = vectors[:, :4] @ vectors[:, :4].T @ target
    assert energies[3] == pytest.approx(float(top.norm() ** 2 / target.norm() ** 2))
    random_targets = torch.randn(
        24, 20_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    assert torch.allclose(
        energy(vectors, random_targets), torch.arange(1, 25).double() / 24, atol=0.01
    ), "k / examples for random ones"


def test_alignment_is_the_cosine_of_centred_kernels() -> None:
    hot = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 2, 2, 2]), 3).double()
    labels = hot - hot.mean(0)
    assert torch.allclose(labels.sum(0), torch.zeros(3, dtype=torch.float64))
    assert alignment(labels @ labels.T, labels) == pytest.approx(1)
    assert alignment(labels @ labels.T + 5, labels) == pytest.approx(1), (
        "the constant does not count"
    )
    square = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    square = square @ square.T
    middle = torch.eye(6, dtype=torch.float64) - 1 / 6
    expected = torch.cosine_similarity(
        (middle @ square @ middle).flatten(), (labels @ labels.T).flatten(), dim=0
    )
    assert alignment(square, labels) == pytest.approx(float(expected))
