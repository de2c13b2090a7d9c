"""Duplicates, saturated and linearised units, against definitions by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.redundant_units import (
    ELEMENTWISE,
    activations,
    check_activations,
    duplicate_units,
    linearised_units,
    saturated_units,
    slope_shares,
    slopes,
    unit_products,
)

DRAWS = torch.Generator().manual_seed(0)


def of_numpy(outputs: Any, threshold: float) -> list[bool]:
    """Return which columns are like an earlier one, by numpy, pair by pair."""
    marks = []
    for unit in range(outputs.shape[1]):
        like = False
        for earlier in range(unit):
            sizes = np.linalg.norm(outputs[:, unit]) * np.linalg.norm(outputs[:, earlier])
            if sizes and abs(outputs[:, unit] @ outputs[:, earlier]) / sizes >= threshold:
                like = True
        marks.append(like)
    return marks


def test_duplicates_have_a_large_cosine_with_an_earlier_unit_of_either_sign() -> None:
    outputs = torch.randn(50, 8, generator=DRAWS, dtype=torch.float64)
    outputs[:, 3] = -2 * outputs[:, 1]
    outputs[:, 5] = outputs[:, 0] + 0.2 * outputs[:, 2]
    outputs[:, 6] = 0
    outputs[:, 7] = 0
    found = duplicate_units(unit_products(outputs)).tolist()
    assert found == of_numpy(outputs.numpy(), 0.95)
    assert found == [False, False, False, True, False, True, False, False]
    assert not duplicate_units(unit_products(outputs), threshold=1.0)[5]
    assert duplicate_units(unit_products(outputs), threshold=1.0)[3]


def test_products_take_every_position_of_every_example_and_add_up() -> None:
    maps = torch.randn(6, 4, 3, 2, generator=DRAWS, dtype=torch.float64)
    rows = np.array(
        [maps[n, :, y, x].numpy() for n in range(6) for y in range(3) for x in range(2)]
    )
    expected = torch.as_tensor(rows.T @ rows)
    torch.testing.assert_close(unit_products(maps), expected)
    torch.testing.assert_close(unit_products(maps[:2]) + unit_products(maps[2:]), expected)
    tokens = maps.flatten(2).transpose(1, 2)
    torch.testing.assert_close(unit_products(tokens), expected)


def test_slopes_are_shares_of_positions() -> None:
    found = torch.zeros(2, 3, 2, 2)
    found[0, 1, 0, 0] = 1
    found[1, 2] = 0.999
    flat, linear = slope_shares(found, 0.0), slope_shares(found, 1.0)
    assert flat.tolist() == [[1, 0.75, 1], [1, 1, 0]]
    assert linear.tolist() == pytest.approx(np.array([[0, 0.25, 0], [0, 0, 1]]))
    tokens = found.flatten(2).transpose(1, 2)
    assert slope_shares(tokens, 0.0).tolist() == flat.tolist()


def test_a_unit_counts_from_1_minus_tau_of_the_examples_on() -> None:
    shares = torch.ones(100, 3)
    shares[:1, 1] = 0
    shares[:2, 2] = 0
    for function in (saturated_units, linearised_units):
        assert function(shares).tolist() == [True, True, False]
        assert function(shares, tau=0.0).tolist() == [True, False, False]


CURVES: dict[str, tuple[Any, Any]] = {
    "relu": (nn.ReLU(), lambda x: float(x > 0)),
    "relu in place": (nn.ReLU(inplace=True), lambda x: float(x > 0)),
    "tanh": (nn.Tanh(), lambda x: 1 - math.tanh(x) ** 2),
    "sigmoid": (nn.Sigmoid(), lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
    "leaky": (nn.LeakyReLU(0.2), lambda x: 1.0 if x > 0 else 0.2),
    "leaky in place": (nn.LeakyReLU(0.2, inplace=True), lambda x: 1.0 if x > 0 else 0.2),
    "elu": (nn.ELU(0.5), lambda x: 1.0 if x > 0 else 0.5 * math.exp(x)),
    "relu6": (nn.ReLU6(), lambda x: float(0 < x < 6)),
    "softplus": (nn.Softplus(), lambda x: 1 / (1 + math.exp(-x))),
    "softsign": (nn.Softsign(), lambda x: 1 / (1 + abs(x)) ** 2),
}


@pytest.mark.parametrize("name", CURVES)
def test_slopes_are_derivatives(name: str) -> None:
    activation, derivative = CURVES[name]
    places = torch.tensor([[-8.0, -0.7, 0.4, 9.0]])
    network = nn.Sequential(nn.Identity(), activation)
    found = activations(network, places.clone(), lambda number, call: slopes(call))["1"]
    expected = [derivative(x) for x in places[0].tolist()]
    assert len(found) == 1
    assert found[0][0].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-7)


OTHERS = (
    *(nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.SiLU(inplace=True), nn.Mish(), nn.CELU()),
    *(nn.SELU(), nn.SELU(inplace=True), nn.Hardtanh(), nn.Hardswish(), nn.Hardsigmoid()),
    nn.LogSigmoid(),
)


@pytest.mark.parametrize("activation", OTHERS, ids=repr)
def test_other_activations_are_seen_once(activation: nn.Module) -> None:
    network = nn.Sequential(nn.Identity(), activation)
    found = activations(network, torch.linspace(-2, 2, 9)[:, None], lambda n, call: slopes(call))
    (slope,) = found["1"]
    places = torch.linspace(-2, 2, 9, dtype=torch.float64)
    step = 1e-5
    with torch.no_grad():
        rise = activation(places + step) - activation(places - step)
    smooth = (places != 0) & (places.abs() != 1)  # where some have corners
    difference = rise[smooth] / (2 * step)
    torch.testing.assert_close(slope[smooth, 0].double(), difference, rtol=0, atol=1e-4)


class Calls(nn.Module):
    """Calls functions, not modules."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(F.gelu(x.tanh())) + torch.tanh(x).sigmoid() + F.tanh(x)


def test_functions_are_seen_too_and_nothing_else() -> None:
    found = activations(Calls(), torch.randn(3, 2), lambda number, call: call.output)
    assert [len(layers) for layers in found.values()] == [6]
    assert F.dropout not in ELEMENTWISE
    with pytest.raises(UserError, match="network: has no activation function"):
        check_activations(nn.Sequential(nn.Linear(2, 2), nn.Dropout()), torch.randn(3, 2))
