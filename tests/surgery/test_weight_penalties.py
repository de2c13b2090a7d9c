"""Spectral and Parseval penalties: values of the papers' code, and two lines of the formula."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery import (
    add_penalty_gradient,
    matrices,
    matrix_layers,
    parseval_penalty,
    power_iteration,
    spectral_penalty,
)

WEIGHT = torch.tensor([[2.0, 1.0], [0.0, 1.0], [1.0, -1.0]])


def gradient(penalty: Any, weight: Tensor) -> Tensor:
    parameter = nn.Parameter(weight.clone())
    parameter.grad = torch.zeros_like(weight)
    add_penalty_gradient(lambda: penalty(parameter), [parameter], 1.0)
    return parameter.grad


@pytest.mark.parametrize(("power", "expected"), [(1, 1.760521), (2, 19.485273), (3, 134.51453)])
def test_values_of_the_spectral_penalty(power: int, expected: float) -> None:
    assert spectral_penalty({"w": WEIGHT}, [], power) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("power", "expected"), [(1, 1.25), (2, 1.5625), (3, 1.953125)])
def test_values_of_the_penalty_of_biases(power: int, expected: float) -> None:
    unit = {"w": torch.eye(2)}
    assert spectral_penalty(unit, [torch.tensor([0.5, -1.0])], power) == pytest.approx(expected)


def test_the_gradient_of_the_spectral_penalty() -> None:
    expected = torch.tensor([[36.3848, 15.0711], [6.2426, 2.5858], [8.8284, 3.6569]])
    actual = gradient(lambda w: spectral_penalty({"w": w}, []), WEIGHT)
    assert torch.allclose(actual, expected, atol=1e-3)


def test_one_power_iteration_and_many() -> None:
    start = torch.full((3,), 3**-0.5)
    vectors = {"w": power_iteration(WEIGHT, start)}
    assert spectral_penalty({"w": WEIGHT}, [], 2, vectors) == pytest.approx(19.359993, rel=1e-6)
    many = {"w": power_iteration(WEIGHT, start, 30)}
    estimated = gradient(lambda w: spectral_penalty({"w": w}, [], 2, many), WEIGHT)
    exact = gradient(lambda w: spectral_penalty({"w": w}, []), WEIGHT)
    assert torch.allclose(estimated, exact, rtol=1e-4)


def test_kernels_are_matrices_of_all_inputs_and_positions() -> None:
    kernels = torch.randn(4, 3, 2, 2)
    largest = torch.linalg.svdvals(kernels.reshape(4, 12))[0]
    assert spectral_penalty({"w": kernels}, [], 2) == pytest.approx(float((largest**2 - 1) ** 2))


def test_values_of_the_parseval_penalty() -> None:
    weight, gain = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([1.0, 2.0])
    assert parseval_penalty([weight], scale=1) == 24
    assert parseval_penalty([weight]) == parseval_penalty([weight], scale=2) == 18
    assert parseval_penalty([weight], [gain], scale=1) == 24 + 9
    assert parseval_penalty([torch.eye(2, 5)], scale=1) == 0


def test_the_gradient_of_the_parseval_penalty() -> None:
    expected = 4 * (WEIGHT @ WEIGHT.T - 2 * torch.eye(3)) @ WEIGHT
    assert torch.allclose(gradient(lambda w: parseval_penalty([w], scale=2), WEIGHT), expected)


def test_layers_whose_weights_are_matrices() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    assert list(matrix_layers(network)) == ["0", "2"]
    nn.utils.parametrizations.weight_norm(network[0])
    with pytest.raises(UserError, match="0: its weight is computed from others"):
        matrix_layers(network)
    with pytest.raises(UserError, match="has no linear layer and no convolution"):
        matrix_layers(nn.LayerNorm(2))


def test_the_extra_key_of_attention_is_no_matrix() -> None:
    attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
    assert list(matrices({"": attention})) == ["in_proj_weight"]
    assert list(matrices({"out": attention.out_proj})) == ["out.weight"]
