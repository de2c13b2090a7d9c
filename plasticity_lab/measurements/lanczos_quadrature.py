"""Trace and density of a matrix's eigenvalues, from its products with random vectors."""

from typing import NamedTuple

import torch
from torch import Tensor

from plasticity_lab.measurements.hvp import LinearOperator
from plasticity_lab.measurements.lanczos import lanczos

POINTS = 10_000


class Nodes(NamedTuple):
    """A discrete measure that has the moments of the spectrum.

    Attributes:
        values: (draws, steps), float64.
        weights: of each draw sum to 1.
    """

    values: Tensor
    weights: Tensor


def hutchinson(
    product: LinearOperator, like: Tensor, draws: int, generator: torch.Generator
) -> tuple[float, float]:
    """Estimate a trace, with its standard error, by random signs (Hutchinson 1990).

    The mean of z'Az over vectors z of random signs.

    Args:
        product: the matrix A.
        like: any vector that it takes, whose size and device are used.
        draws: how many vectors, at least 2 for an error.
        generator: draws on the CPU.

    Examples:
        >>> diagonal = torch.tensor([1.0, 2.0], dtype=torch.float64)
        >>> draws = torch.Generator().manual_seed(0)
        >>> hutchinson(lambda vector: diagonal * vector, diagonal, draws=4, generator=draws)
        (3.0, 0.0)
    """
    values = []
    for _ in range(draws):
        signs = (torch.randint(0, 2, like.shape, generator=generator).double() * 2 - 1).to(
            like.device
        )
        values.append(float(signs @ product(signs)))
    estimates = torch.tensor(values, dtype=torch.float64)
    return float(estimates.mean()), float(estimates.std() / draws**0.5)


def lanczos_quadrature(
    product: LinearOperator, like: Tensor, steps: int, draws: int, generator: torch.Generator
) -> Nodes:
    """Return eigenvalues with weights by stochastic Lanczos quadrature (Ghorbani et al. 2019).

    It takes `steps` products for each draw.

    Args:
        product: the matrix.
        like: any vector that it takes, whose size and device are used.
        steps: of Lanczos, at most its size.
        draws: Gaussian start vectors.
        generator: draws on the CPU.

    Examples:
        >>> diagonal = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        >>> rng = torch.Generator().manual_seed(0)
        >>> nodes = lanczos_quadrature(lambda v: diagonal * v, diagonal, 3, draws=1, generator=rng)
        >>> nodes.values.round(decimals=6)
        tensor([[1., 2., 3.]], dtype=torch.float64)
    """
    values, weights = [], []
    for _ in range(draws):
        start = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device)
        nodes, vectors = (part.cpu() for part in lanczos(product, start, steps).eigh())
        missing = steps - len(nodes)  # of an exhausted space, which holds all there is
        values.append(torch.cat([nodes, nodes[-1:].expand(missing)]))
        weights.append(torch.cat([vectors[0] ** 2, torch.zeros(missing, dtype=torch.float64)]))
    return Nodes(torch.stack(values), torch.stack(weights))


def spectral_density(nodes: Nodes, grid: Tensor, variance: float) -> Tensor:
    """Return the density of eigenvalues at points of a grid, smoothed by a Gaussian.

    Examples:
        >>> values, weights = torch.tensor([[0.0]]), torch.tensor([[1.0]])
        >>> nodes = Nodes(values.double(), weights.double())
        >>> spectral_density(nodes, torch.tensor([0.0]).double(), variance=1.0)
        tensor([0.3989], dtype=torch.float64)
    """
    distances = grid[:, None, None] - nodes.values
    kernel = torch.exp(-(distances**2) / (2 * variance)) / (2 * torch.pi * variance) ** 0.5
    shares: Tensor = (kernel * nodes.weights).sum(2).mean(1)
    return shares


def smoothed_density(nodes: Nodes) -> tuple[Tensor, Tensor]:
    """Return points, and the density of eigenvalues there, by the rule of the authors' code.

    Their 10,000 points reach from .01 below to .01 above the extreme eigenvalues (means over
    draws), and the variance of their Gaussian is 1e-5 x max(1, that range). The nodes are added
    to the points, since a peak is narrower than a step where the range is wide.

    Examples:
        >>> nodes = Nodes(torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[0.5, 0.5]]).double())
        >>> points, shares = smoothed_density(nodes)
        >>> bool(torch.trapezoid(shares, points) > 0.9)
        True
    """
    low, high = float(nodes.values.mean(0)[0]) - 0.01, float(nodes.values.mean(0)[-1]) + 0.01
    points = (
        torch.cat([torch.linspace(low, high, POINTS, dtype=torch.float64), nodes.values.flatten()])
        .sort()
        .values
    )
    variance = 1e-5 * max(1.0, high - low)
    return points, torch.cat(
        [spectral_density(nodes, part, variance) for part in torch.split(points, 1000)]
    )
