"""Networks of finite width approach the infinitely wide one in training, where they should."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

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
    network = construct(WideNetwork, 64, 1, 1, width)
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
def differences(width: int = 1024, **settings: Any) -> tuple[float, float]:
    """Return the mean distance of four networks, and that of their mean."""
    outputs = torch.stack([trained(seed, width, **settings) for seed in range(4)])
    rate = settings.get("rate", 0.5)
    singles = [difference(single, rate) for single in outputs]
    return sum(singles) / 4, difference(outputs.mean(0), rate)


def test_the_distance_halves_with_four_times_the_width() -> None:
    found = [differences(width)[0] for width in (64, 256, 1024)]
    print(found)
    assert found[0] / found[1] == pytest.approx(2, rel=0.25)
    assert found[1] / found[2] == pytest.approx(2, rel=0.25)
