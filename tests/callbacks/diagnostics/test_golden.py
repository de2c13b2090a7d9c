"""Trajectories that other code has measured, reproduced by the functions here."""

import copy
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.measurements.fisher_trace import exact_fisher_trace
from plasticity_lab.measurements.functional import detached_parameters, flatten, mean_loss
from plasticity_lab.measurements.hvp import gradient, hessian_vector_product
from plasticity_lab.measurements.lanczos import largest_eigenpairs
from plasticity_lab.measurements.lanczos_quadrature import (
    Nodes,
    lanczos_quadrature,
    spectral_density,
)
from plasticity_lab.measurements.subspace import curvature_overlap, share_within, subspace_overlap
from plasticity_lab.measurements.tangent_kernel import eigh_descending, energy, tangent_kernels
from tests.measurements.toys import Toy

STEPS = (0, 10, 30, 100, 300, 800, 1500)


class Point(NamedTuple):
    """What is measured at a step."""

    accuracy: float
    f_top: float
    overlap: float
    largest: float
    trace: float
    top: Tensor
    following: Tensor
    toy: Toy


@cache
def mixture() -> dict[int, Point]:
    """Train a ReLU network on a mixture of ten Gaussians, and measure it at some steps."""
    torch.manual_seed(0)
    means = torch.randn(10, 20)
    labels = torch.arange(600) % 10
    images = means[labels] + torch.randn(600, 20)
    network = nn.Sequential(
        nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 10)
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    draws = torch.Generator().manual_seed(1)
    by_step = {}
    for step in range(max(STEPS) + 1):
        if step in STEPS:
            by_step[step] = measured(network, images, labels)
        batch = torch.randint(0, 600, (64,), generator=draws)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return by_step


def measured(network: nn.Module, images: Tensor, labels: Tensor) -> Point:
    parameters, loss = detached_parameters(network), mean_loss(network, images, labels)
    product, slope = hessian_vector_product(loss, parameters), gradient(loss, parameters).double()
    start = torch.randn(len(slope), generator=torch.Generator().manual_seed(0)).double()
    pairs = largest_eigenpairs(product, start, 20, 1e-6)
    return Point(
        accuracy=float((network(images).argmax(1) == labels).float().mean()),
        f_top=share_within(slope, pairs.vectors[:, :10]),
        overlap=curvature_overlap(slope, product(slope)),
        largest=float(pairs.values[0]),
        trace=exact_fisher_trace(network, images).total,
        top=pairs.vectors[:, :10],
        following=pairs.vectors[:, 10:],
        toy=Toy(copy.deepcopy(network).double(), images.double(), labels),
    )


@pytest.mark.parametrize(
    ("step", "accuracy", "f_top", "overlap", "largest", "trace"),
    [
        (0, 0.11, 0.364, 0.457, 0.70, 6.1),
        (30, 0.41, 0.007, -0.615, 1.10, 11.8),
        (100, 0.91, 0.183, 0.545, 2.88, 36.0),
        (300, 0.98, 0.737, 0.845, 3.07, 20.7),
        (800, 1.00, 0.854, 0.917, 2.47, 12.8),
        (1500, 1.00, 0.967, 0.958, 1.63, 7.5),
    ],
)
def test_the_mixture(
    step: int, accuracy: float, f_top: float, overlap: float, largest: float, trace: float
) -> None:
    point = mixture()[step]
    assert point.accuracy == pytest.approx(accuracy, abs=0.006)
    assert point.f_top == pytest.approx(f_top, abs=0.001)
    assert point.overlap == pytest.approx(overlap, abs=0.001)
    assert point.largest == pytest.approx(largest, abs=0.006)
    assert point.trace == pytest.approx(trace, abs=0.06)


@pytest.mark.parametrize(
    ("step", "top", "following"), [(300, 0.84, 0.40), (800, 0.61, 0.14), (1500, 0.55, 0.12)]
)
def test_the_mixtures_top_span_lasts(step: int, top: float, following: float) -> None:
    then, now = mixture()[100], mixture()[step]
    assert subspace_overlap(then.top, now.top) == pytest.approx(top, abs=0.006)
    assert subspace_overlap(then.following, now.following) == pytest.approx(following, abs=0.006)


def test_the_mixtures_fisher_information_rises_and_falls() -> None:
    traces = [mixture()[step].trace for step in STEPS]
    assert max(traces) == traces[STEPS.index(100)]
    assert traces[-1] < 0.5 * max(traces)


@pytest.mark.slow
def test_the_mixtures_spectrum_is_the_dense_one() -> None:
    network, images, labels = toy = mixture()[1500].toy
    values = torch.linalg.eigvalsh(toy.hessian())
    assert float(values[-1]) == pytest.approx(1.6311, abs=1e-3)
    parameters = detached_parameters(network)
    product = hessian_vector_product(mean_loss(network, images, labels), parameters)
    nodes = lanczos_quadrature(
        product, flatten(parameters).detach(), 80, 10, torch.Generator().manual_seed(0)
    )
    assert float(nodes.values.max()) == pytest.approx(float(values[-1]), abs=1e-7)
    grid = torch.linspace(
        float(values[0]) - 0.05, float(values[-1]) + 0.05, 5000, dtype=torch.float64
    )
    dense = Nodes(values[None], torch.full_like(values, 1 / len(values))[None])
    for variance, distance in ((1.65e-5, 0.014), (1e-4, 0.0053), (1e-3, 0.0021), (1e-2, 0.0010)):
        far = (
            spectral_density(nodes, grid, variance) - spectral_density(dense, grid, variance)
        ).abs()
        assert float(far.sum() * (grid[1] - grid[0])) < 3 * distance, (
            "other draws than theirs, as close to it"
        )


class Aligned(NamedTuple):
    """What is measured of a kernel."""

    loss: float
    largest: float
    labels10: float
    labels50: float
    outputs10: float
    residuals10: float


def regression() -> Iterator[tuple[int, Aligned]]:
    """Fit a picture by full-batch descent on half the squared error; yield step and measurement."""
    torch.manual_seed(0)
    places = torch.rand(256, 2)
    spot = ((places - 0.5).pow(2).sum(1) < 0.06).float()
    target = torch.sin(6 * places[:, 0]) * torch.cos(9 * places[:, 1]) + spot
    target = target - target.mean()
    layers: list[nn.Module] = []
    for wide, out in ((2, 64), (64, 64), (64, 64)):
        layers += [nn.Linear(wide, out), nn.LeakyReLU(0.2)]
    network = nn.Sequential(*layers, nn.Linear(64, 1))
    rate = 0.2
    for step in range(25_001):
        outputs = network(places)[:, 0]
        if step in (0, 100, 1000, 10_000, 20_000, 25_000):
            kernel = torch.stack(list(tangent_kernels(network, places, 256).values())).sum(0)
            values, vectors = eigh_descending(kernel)
            parts = [
                energy(vectors, targets.detach()) for targets in (target, outputs, outputs - target)
            ]
            yield (
                step,
                Aligned(
                    loss=float((outputs.detach() - target).pow(2).mean() / 2),
                    largest=float(values[0]),
                    labels10=float(parts[0][9]),
                    labels50=float(parts[0][49]),
                    outputs10=float(parts[1][9]),
                    residuals10=float(parts[2][9]),
                ),
            )
            rate = 0.1 if step == 20_000 else rate
        loss = (outputs - target).pow(2).mean() / 2
        for value, grad in zip(
            network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
        ):
            value.data -= rate * grad


@pytest.mark.long
def test_a_kernel_aligns_and_meets_the_bound_of_its_rate() -> None:
    by_step = dict(regression())
    begin, middle, end = by_step[0], by_step[10_000], by_step[20_000]
    assert begin.largest == pytest.approx(512, rel=0.01)
    assert begin.labels10 == pytest.approx(0.350, abs=0.005)
    assert begin.labels50 == pytest.approx(0.825, abs=0.005)
    assert begin.outputs10 > 0.99
    assert begin.residuals10 == pytest.approx(0.356, abs=0.005)
    assert by_step[100].loss == pytest.approx(0.193, abs=0.002)
    for aligned in (by_step[1000], middle, end):
        assert 0.95 < 0.2 * aligned.largest / (2 * 256) < 1.1, "the edge of stability"
    assert end.labels10 > begin.labels10
    assert end.labels10 > 10 * 10 / 256
    assert end.labels50 > 0.9
    after = by_step[25_000]
    assert after.largest > 1.2 * end.largest, "half the rate lets it rise"
    assert after.residuals10 < end.residuals10 / 100


def test_flat_is_all_parameters() -> None:
    network = nn.Linear(3, 2)
    assert flatten(detached_parameters(network)).tolist() == [
        *network.weight.flatten().tolist(),
        *network.bias.tolist(),
    ]
