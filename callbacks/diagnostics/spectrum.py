"""Trace and density of a matrix's eigenvalues, from its products with random vectors."""

from typing import NamedTuple

import torch
from torch import Tensor

from callbacks.diagnostics.lanczos import lanczos
from callbacks.diagnostics.products import Product


class Nodes(NamedTuple):
    """A discrete measure that has the moments of the spectrum.

    Attributes:
        values: (draws, steps), float64.
        weights: of each draw sum to 1.
    """

    values: Tensor
    weights: Tensor


def hutchinson(product: Product, like: Tensor, draws: int, generator: torch.Generator) -> tuple[float, float]:
    """Estimate a trace by the mean of z'Az over vectors of random signs (Hutchinson 1990), with its standard error.

    Args:
        product: the matrix A.
        like: any vector that it takes, whose size and device are used.
        draws: how many vectors, at least 2 for an error.
        generator: draws on the CPU.
    """
    values = []
    for _ in range(draws):
        signs = (torch.randint(0, 2, like.shape, generator=generator).double() * 2 - 1).to(like.device)
        values.append(float(signs @ product(signs)))
    found = torch.tensor(values, dtype=torch.float64)
    return float(found.mean()), float(found.std() / draws**0.5)


def quadrature(product: Product, like: Tensor, steps: int, draws: int, generator: torch.Generator) -> Nodes:
    """Stochastic Lanczos quadrature (Ghorbani, Krishnan & Xiao 2019): eigenvalues with weights, by `steps` products for each draw.

    Args:
        product: the matrix.
        like: any vector that it takes, whose size and device are used.
        steps: of Lanczos, at most its size.
        draws: Gaussian start vectors.
        generator: draws on the CPU.
    """
    values, weights = [], []
    for _ in range(draws):
        start = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device)
        nodes, vectors = (part.cpu() for part in lanczos(product, start, steps).eigh())
        missing = steps - len(nodes)  # of an exhausted space, which holds all there is
        values.append(torch.cat([nodes, nodes[-1:].expand(missing)]))
        weights.append(torch.cat([vectors[0] ** 2, torch.zeros(missing, dtype=torch.float64)]))
    return Nodes(torch.stack(values), torch.stack(weights))


def density(nodes: Nodes, grid: Tensor, variance: float) -> Tensor:
    """Return the share of eigenvalues per unit at points of a grid, smoothed by a Gaussian; (points,)."""
    far = grid[:, None, None] - nodes.values
    kernel = torch.exp(-(far**2) / (2 * variance)) / (2 * torch.pi * variance) ** 0.5
    shares: Tensor = (kernel * nodes.weights).sum(2).mean(1)
    return shares
