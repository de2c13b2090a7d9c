"""Kernels of infinitely wide networks, against google/neural-tangents and wide random networks."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.dual_activations import DualActivation, dual_activation
from plasticity_lab.measurements.infinite_kernels import nngp_and_ntk
from plasticity_lab.measurements.infinite_network import InfiniteNetwork
from plasticity_lab.measurements.kernel_regression import (
    KernelDescent,
    Steps,
    choose_regularisation,
    kernel_regression,
)

INPUTS = torch.tensor([[1, 2, -1], [0.5, -0.3, 2], [-1, 1, 1]], dtype=torch.float64)
OTHERS = torch.tensor([[0.2, 0.4, 0.6], [-2, 0, 1]], dtype=torch.float64)
TARGETS = torch.tensor([[1.0], [-1.0], [0.5]], dtype=torch.float64)
IMAGES = torch.sin(1 + torch.arange(96, dtype=torch.float64)).view(2, 4, 4, 3).permute(0, 3, 1, 2)


def entries(kernel: Tensor) -> Tensor:
    """Return the diagonal of a kernel, and what is above it."""
    rows, columns = torch.triu_indices(len(kernel), len(kernel), offset=1)
    return torch.cat([kernel.diagonal(), kernel[rows, columns]])


def assert_close(found: Tensor, expected: list[float]) -> None:
    # The printed digits of the other code.
    other = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found, other, rtol=0, atol=5.1e-11)


@pytest.mark.parametrize(
    ("network", "nngp", "ntk"),
    [
        (
            InfiniteNetwork(1),
            [2, 1.4466666667, 1, 0.2379690829, 0.4501581581, 0.6042286893],
            [4, 2.8933333333, 2, -0.0175277176, 0.4501581581, 0.8473942406],
        ),
        (
            InfiniteNetwork(2),
            [2, 1.4466666667, 1, 0.6657306301, 0.6982412039, 0.734382548],
            [6, 4.34, 3, 0.6561836595, 0.9697384533, 1.3000484128],
        ),
        (
            InfiniteNetwork(3, weight_variance=1.5, bias_variance=0.01, readout_bias_variance=0.01),
            [0.8653125, 0.631875, 0.4434375, 0.4063907657, 0.381416066, 0.3684048811],
            [3.4175, 2.48375, 1.73, 0.5894585223, 0.6648909949, 0.7712947228],
        ),
    ],
)
def test_dense_kernels_are_those_of_neural_tangents(
    network: InfiniteNetwork, nngp: list[float], ntk: list[float]
) -> None:
    kernels = nngp_and_ntk(network, INPUTS)
    assert_close(entries(kernels.nngp), nngp)
    assert_close(entries(kernels.ntk), ntk)


@pytest.mark.parametrize(
    ("kind", "nngp", "ntk"),
    [
        (
            "flatten",
            [0.2712516872, 0.2750878568, 0.0989047543],
            [0.8087550615, 0.8202635705, 0.0859801604],
        ),
        (
            "average",
            [0.1352542843, 0.1373155404, 0.1266540982],
            [0.2332022316, 0.237281895, 0.1901622971],
        ),
    ],
)
def test_convolutional_kernels_are_those_of_neural_tangents(
    kind: Any, nngp: list[float], ntk: list[float]
) -> None:
    kernels = nngp_and_ntk(InfiniteNetwork(2, kind, bias_variance=0.01), IMAGES)
    assert_close(entries(kernels.nngp), nngp)
    assert_close(entries(kernels.ntk), ntk)


def test_predictions_are_those_of_neural_tangents() -> None:
    kernels = nngp_and_ntk(InfiniteNetwork(2), INPUTS)
    cross = nngp_and_ntk(InfiniteNetwork(2), OTHERS, INPUTS)
    expected = {
        ("nngp", 0.0): [-0.0748981707, 0.3477470091],
        ("ntk", 0.0): [-0.0625330538, 0.2746274599],
        ("nngp", 0.1): [-0.0594752059, 0.2330677566],
        ("ntk", 0.1): [-0.0552920037, 0.2125822875],
    }
    for (name, regularisation), values in expected.items():
        kernel, cross_kernel = getattr(kernels, name), getattr(cross, name)
        found = kernel_regression(kernel, cross_kernel, TARGETS, regularisation)
        assert_close(found.flatten(), values)

    descent = KernelDescent(kernels.ntk, TARGETS)
    assert_close(descent.flow(cross.ntk, 1.0).flatten(), [-0.040558249, 0.0969479605])
    assert_close(descent.predict(cross.ntk).flatten(), expected["ntk", 0.0])


def test_descent_is_that_of_its_formula() -> None:
    kernel = nngp_and_ntk(InfiniteNetwork(2), INPUTS).ntk
    cross = nngp_and_ntk(InfiniteNetwork(2), OTHERS, INPUTS).ntk
    descent = KernelDescent(kernel, TARGETS)

    # Step by step: a residual r becomes r - rate / N K r, and K* r is added to the prediction. The
    # second rate is so high that errors change their sign.
    residual, expected = TARGETS, torch.zeros(2, 1, dtype=torch.float64)
    for rate in [0.3] * 5 + [0.9 * descent.largest_rate] * 3:
        expected = expected + rate / 3 * cross @ residual
        residual = residual - rate / 3 * kernel @ residual
    steps = [Steps(0.3, 5), Steps(0.9 * descent.largest_rate, 3)]
    torch.testing.assert_close(descent.predict(cross, steps), expected, rtol=1e-12, atol=1e-12)
    small = descent.predict(cross, [Steps(1e-6, 1_000_000)])
    torch.testing.assert_close(small, descent.flow(cross, 1.0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("correlation", [-1.0, -0.6, 0.0, 0.3, 0.999, 1.0])
def test_dual_activations_are_the_integrals(activation: DualActivation, correlation: float) -> None:
    """Against a Gaussian integral on a fine grid."""
    first, second = 1.3, 0.4
    covariance = correlation * math.sqrt(first * second)
    numbers = torch.tensor([first, second, covariance], dtype=torch.float64)
    found = dual_activation(activation, *numbers)

    grid = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    x, y = torch.meshgrid(grid, grid, indexing="ij")
    density = torch.exp(-(x.square() + y.square()) / 2)
    density /= density.sum()
    u = math.sqrt(first) * x
    v = math.sqrt(second) * (correlation * x + math.sqrt(1 - correlation**2) * y)
    if activation == "relu":
        values, slopes = u.relu() * v.relu(), ((u > 0) & (v > 0)) + 0.5 * ((u == 0) | (v == 0))
    else:
        values, slopes = u.erf() * v.erf(), 4 / math.pi * torch.exp(-(u.square() + v.square()))
    assert float(found.values) == pytest.approx(float((density * values).sum()), abs=3e-5)
    assert float(found.slopes) == pytest.approx(float((density * slopes).sum()), abs=3e-3)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_random_wide_networks_have_these_kernels(activation: DualActivation) -> None:
    """200 networks of width 512 and depth 1, within three standard errors of their mean."""
    network = InfiniteNetwork(1, activation=activation, weight_variance=2.0, bias_variance=0.1)
    draws, width, count = torch.Generator().manual_seed(0), 512, len(INPUTS)
    first = torch.randn(200, width, 3, generator=draws, dtype=torch.float64)
    biases = torch.randn(200, width, 1, generator=draws, dtype=torch.float64)
    readout = torch.randn(200, width, 1, generator=draws, dtype=torch.float64)

    before = math.sqrt(2 / 3) * first @ INPUTS.T + math.sqrt(0.1) * biases
    if activation == "relu":
        values, slopes = before.relu(), (before > 0).double()
    else:
        values, slopes = before.erf(), 2 / math.sqrt(math.pi) * torch.exp(-before.square())

    # The tangent kernel: gradients by the readout, and by first weights and biases.
    nngp = values.mT @ values / width
    passed = slopes * readout
    inputs = 2 / 3 * INPUTS @ INPUTS.T + 0.1
    ntk = nngp + passed.mT @ passed / width * inputs

    kernels = nngp_and_ntk(network, INPUTS)
    for found, expected in ((nngp, kernels.nngp), (ntk, kernels.ntk)):
        error = found.std(0) / math.sqrt(200)
        assert ((found.mean(0) - expected).abs() <= 3 * error).all()
        assert error.shape == (count, count)


@pytest.mark.parametrize("kind", ["dense", "flatten", "average"])
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_blocks_change_nothing_but_rounding(kind: Any, activation: DualActivation) -> None:
    """Matrix products and vectorised functions round differently in blocks of other sizes."""
    images = torch.randn(11, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    network = InfiniteNetwork(2, kind, activation, bias_variance=0.1)
    whole = nngp_and_ntk(network, images, block_entries=2**22)
    for other in (
        nngp_and_ntk(network, images, block_entries=1),
        nngp_and_ntk(network, images, block_entries=9 * 400),
    ):
        for found, expected in zip(other, whole, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
            assert torch.equal(found, found.T)

    # A block of a larger kernel; the same examples as others are off by the root of the rounding.
    part = nngp_and_ntk(network, images[:4], images[4:])
    for found, expected in zip(part, whole, strict=True):
        torch.testing.assert_close(found, expected[:4, 4:], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["dense", "flatten", "average"])
def test_an_example_is_at_angle_zero_to_itself(kind: Any) -> None:
    """Its cosine with itself is 1, where rounding would cost the root of the precision."""
    images = torch.randn(40, 300, 1, 1, generator=torch.Generator().manual_seed(0)).double()
    variance = 2.0 if kind == "dense" else 18.0
    kernels = nngp_and_ntk(InfiniteNetwork(3, kind, weight_variance=variance), images)
    length = images.square().mean((1, 2, 3))
    torch.testing.assert_close(kernels.nngp.diagonal(), length, rtol=1e-14, atol=0)
    torch.testing.assert_close(kernels.ntk.diagonal(), 4 * length, rtol=1e-14, atol=0)


def test_a_convolution_of_one_pixel_is_dense() -> None:
    """Only the centre of its kernel sees the image, a ninth of the variance."""
    dense = nngp_and_ntk(InfiniteNetwork(2, weight_variance=2, bias_variance=0.1), INPUTS)
    for kind in ("flatten", "average"):
        network = InfiniteNetwork(2, kind, weight_variance=18, bias_variance=0.1)
        for found, expected in zip(
            nngp_and_ntk(network, INPUTS[:, :, None, None]), dense, strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


def test_float32_inputs_are_computed_in_float64() -> None:
    single = nngp_and_ntk(InfiniteNetwork(3), INPUTS.float())
    double = nngp_and_ntk(InfiniteNetwork(3), INPUTS.float().double())
    for found, expected in zip(single, double, strict=True):
        assert found.dtype == torch.float64
        assert torch.equal(found, expected)


def test_empty_images_have_kernel_zero() -> None:
    for kind in ("flatten", "average"):
        kernels = nngp_and_ntk(InfiniteNetwork(2, kind), torch.zeros(2, 3, 4, 4))
        assert not kernels.nngp.any()
        assert not kernels.ntk.any()


def test_the_regularisation_is_chosen_on_held_out_examples() -> None:
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 5, generator=draws, dtype=torch.float64)
    targets = inputs[:, :1] + 3 * torch.randn(60, 1, generator=draws, dtype=torch.float64)
    kernel = nngp_and_ntk(InfiniteNetwork(1), inputs).nngp
    held_out = torch.arange(60) >= 40
    candidates = [0.0, 0.1, 1.0, 10.0]

    errors = []
    for candidate in candidates:
        inner = kernel[:40, :40]
        ridge = candidate * inner.trace() / 40 * torch.eye(40, dtype=torch.float64)
        predicted = kernel[40:, :40] @ torch.linalg.inv(inner + ridge) @ targets[:40]
        errors.append(float((predicted - targets[40:]).square().mean()))
    best = candidates[errors.index(min(errors))]
    assert choose_regularisation(kernel, targets, held_out, candidates) == best > 0.0

    # Two equal examples leave the kernel singular; the candidate 0 is passed over.
    singular = torch.ones(4, 4)
    chosen = choose_regularisation(singular, torch.ones(4, 1), torch.arange(4) > 2, [0.0, 0.1])
    assert chosen == 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InfiniteNetwork(0), "depth: 0: set 1 or more"),
        (lambda: InfiniteNetwork(kind="pool"), "kind: pool: set one of dense, flatten, average"),  # type: ignore[arg-type]
        (lambda: InfiniteNetwork(activation="tanh"), "activation: tanh: set one of relu, erf"),  # type: ignore[arg-type]
        (lambda: InfiniteNetwork(weight_variance=0), "weight_variance: 0: set a number above 0"),
        (lambda: InfiniteNetwork(bias_variance=-1), "bias_variance: -1: set 0 or more"),
        (lambda: nngp_and_ntk(InfiniteNetwork(kind="flatten"), INPUTS), "inputs: 2 dimensions"),
        (
            lambda: kernel_regression(torch.ones(2, 2), torch.ones(1, 2), torch.ones(2, 1)),
            "regularisation: 0.0: the kernel is singular",
        ),
        (
            lambda: choose_regularisation(
                torch.ones(3, 3), torch.ones(3, 1), torch.arange(3) > 1, [0.0]
            ),
            "with every candidate the kernel is singular",
        ),
    ],
)
def test_what_has_no_kernel_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
