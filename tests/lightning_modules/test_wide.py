"""Networks of finite width approach the infinitely wide one in training, where they should."""

from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from datamodules.datasets.digits import _read
from lightning_modules import SquaredError
from lightning_modules.networks import CentredNetwork, WideNetwork
from plasticity_lab.measurements.infinite_kernels import nngp_and_ntk
from plasticity_lab.measurements.infinite_network import InfiniteNetwork
from plasticity_lab.measurements.kernel_regression import KernelDescent, Steps
from plasticity_lab.measurements.tangent_kernel import tangent_kernels
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters


class Problem(NamedTuple):
    """Odd digits against even ones, and what the infinitely wide network does."""

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    descent: KernelDescent
    cross_kernel: Tensor


@cache
def problem() -> Problem:
    images, labels = _read()
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:150]
    pixels = images[chosen, :, ::2, ::2].double().flatten(1)
    pixels -= pixels[:50].mean(0)
    pixels /= pixels[:50].square().mean().sqrt()
    inputs, test_inputs = pixels[:50], pixels[50:]
    targets = (2.0 * (labels[chosen[:50]] % 2) - 1).double()[:, None]
    kernel = nngp_and_ntk(InfiniteNetwork(1), inputs).ntk
    cross = nngp_and_ntk(InfiniteNetwork(1), test_inputs, inputs).ntk
    return Problem(inputs, targets, test_inputs, KernelDescent(kernel, targets), cross)


def trained(
    seed: int, width: int, rate: float = 0.5, decay: float = 0.0, centred: bool = True
) -> Tensor:
    """Return the outputs of a network for test examples after 400 steps of gradient descent.

    Args:
        seed: of its initial values.
        width: of its hidden layer.
        rate: in units of the largest stable one.
        decay: coupled weight decay.
        centred: whether its initial outputs are subtracted, in training too.
    """
    network: Any = construct(WideNetwork, 64, 1, 1, width)
    init_parameters(network, seed)
    network.double()
    first, second = (part.weight for part in (network.hidden1.linear, network.head))
    inputs, test_inputs = (part[:, :, None, None] for part in problem()[:3:2])
    with torch.no_grad():
        start = network(inputs) if centred else torch.zeros_like(problem().targets)
        test_start = network(test_inputs) if centred else 0.0

    rate *= problem().descent.largest_rate
    optimizer = torch.optim.SGD((first, second), rate, weight_decay=decay)
    for _ in range(400):
        optimizer.zero_grad()
        error = network(inputs) - start - problem().targets
        (error.square().mean() / 2).backward()
        optimizer.step()
    with torch.no_grad():
        outputs: Tensor = network(test_inputs) - test_start
    return outputs


def difference(outputs: Tensor, rate: float = 0.5) -> float:
    """Return the distance to the infinitely wide network after as many steps."""
    steps = [Steps(rate * problem().descent.largest_rate, 400)]
    expected = problem().descent.predict(problem().cross_kernel, steps)
    return float((outputs - expected).square().mean().sqrt())


@cache
def differences(width: int = 1024, count: int = 4, **settings: Any) -> tuple[float, float]:
    """Return the mean distance of some networks, and that of their mean."""
    outputs = torch.stack([trained(seed, width, **settings) for seed in range(count)])
    rate = settings.get("rate", 0.5)
    singles = [difference(single, rate) for single in outputs]
    return sum(singles) / count, difference(outputs.mean(0), rate)


def test_the_distance_halves_with_four_times_the_width() -> None:
    """Another code has .181, .101, .050, of other digits and draws."""
    found = [differences(width, count=2)[0] for width in (64, 256, 1024)]
    assert found == pytest.approx([0.181, 0.101, 0.050], rel=0.25)
    assert found[0] / found[1] == pytest.approx(2, rel=0.25)
    assert found[1] / found[2] == pytest.approx(2, rel=0.25)


@pytest.mark.slow
def test_what_brings_networks_closer_to_their_kernel() -> None:
    """Another code, single networks and their mean: centred .050/.021, uncentred .516/.247."""
    single, mean = differences()
    assert mean < 0.6 * single

    uncentred, uncentred_mean = differences(centred=False)
    assert uncentred > 5 * single
    assert mean < uncentred_mean < 0.6 * uncentred

    # Weight decay, of rate x decay x steps 1 and 10 there: .455 and .973.
    step = 0.5 * problem().descent.largest_rate * 400
    decayed = [differences(decay=amount / step)[0] for amount in (1.0, 10.0)]
    assert 5 * single < decayed[0] < decayed[1]

    # A rate that is nearly too high does not matter, one that is too high does: .050 and .163.
    assert differences(rate=0.95)[0] == pytest.approx(single, rel=0.1)
    assert differences(rate=1.25)[0] > 2 * single


@pytest.mark.parametrize(
    ("kind", "activation"), [("dense", "erf"), ("flatten", "relu"), ("average", "erf")]
)
def test_random_networks_have_the_kernels_of_their_limit(kind: Any, activation: Any) -> None:
    """Tangent kernels and outputs of 50 networks, within three standard errors of their mean."""
    images = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    images[1] += images[0]
    tangents, products = [], []
    torch.manual_seed(0)
    for _ in range(50):
        network = WideNetwork(2, 5, 3, 64, 1, kind, activation, 2.0, 0.1, 1.0, 0.2).double()
        with torch.no_grad():
            outputs = network(images)
        products.append(outputs @ outputs.T / 5)
        tangents.append(torch.stack(list(tangent_kernels(network, images).values())).sum(0) / 5)

    for found, expected in zip(
        (products, tangents), nngp_and_ntk(network.infinite, images), strict=True
    ):
        drawn = torch.stack(found)
        error = drawn.std(0) / 50**0.5
        assert ((drawn.mean(0) - expected).abs() <= 3 * error).all()


def test_parametrisations_differ_in_where_the_scale_stands() -> None:
    """With the same draws, and with rates in proportion to it, both learn the same."""
    networks: list[Any] = [
        construct(WideNetwork, 1, 3, 4, 32, 2, bias_variance=0.3, parametrisation=which)
        for which in ("ntk", "standard")
    ]
    inputs, labels = torch.randn(8, 1, 4, 4).double(), torch.arange(8) % 3
    outputs = []
    for network in networks:
        init_parameters(network, 0)
        network.double()
        groups = []
        for layer in (network.hidden1.linear, network.hidden2.linear, network.head):
            for name, parameter in layer.named_parameters(recurse=False):
                variance = 2.0 if name == "weight" and layer is not network.head else 1.0
                scale = 0.3 if name == "bias" else variance / layer.in_features
                standard = network is networks[1]
                groups.append({"params": [parameter], "lr": 0.1 * (scale if standard else 1.0)})
        optimizer = torch.optim.SGD(groups)
        for _ in range(3):
            optimizer.zero_grad()
            loss: Any = SquaredError().loss(network(inputs), labels)
            loss.backward()
            optimizer.step()
        outputs.append(network(inputs).detach())
    # The draws are of float32, and scaled in it.
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)
    weight = networks[1].hidden2.linear.weight.detach()
    assert float(weight.std()) == pytest.approx((2 / 32) ** 0.5, rel=0.1)


def test_a_centred_network_begins_at_zero_and_learns_the_change_alone() -> None:
    network: Any = construct(CentredNetwork, 1, 3, 4, WideNetwork, {"width": 8})
    init_parameters(network, 0)
    inputs = torch.randn(5, 1, 4, 4)
    assert not network(inputs).any()
    assert network.blocks == ("network.hidden1", "network.head")

    start = network.network(inputs).detach()
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    loss: Any = SquaredError().loss(network(inputs), torch.tensor([0, 1, 2, 0, 1]))
    loss.backward()
    optimizer.step()
    assert torch.equal(network.initial(inputs), start)
    assert torch.equal(network(inputs), network.network(inputs) - start)
    assert network(inputs).abs().min() > 0


def test_squared_error_of_labels_is_that_of_centred_one_hot_targets() -> None:
    outputs, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 0])
    targets = torch.eye(4)[labels] - 0.25
    objective = SquaredError()
    expected = (outputs - targets).square().sum(1) / 2
    assert torch.equal(objective.per_example_loss(outputs, labels), expected)
    assert torch.equal(objective.loss(outputs, labels), expected.mean())
    assert torch.equal(objective.target_matrix(labels, 4), targets)
    (accuracy,) = objective.metrics().values()
    accuracy.update(targets, labels)
    assert float(accuracy.compute()) == 1
