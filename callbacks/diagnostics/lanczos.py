"""Eigenvalues of a matrix that is only known by its products with vectors (Lanczos 1950)."""

from typing import NamedTuple

import torch
from torch import Tensor

from callbacks.diagnostics.products import Product


class Tridiagonal(NamedTuple):
    """What Lanczos has found: V' A V = T.

    Attributes:
        diagonal: of T, (steps,), float64.
        beside: beside the diagonal; its last entry is the remainder, 0 if the space is exhausted, (steps,).
        vectors: V, orthonormal columns, (size, steps), float64.
    """

    diagonal: Tensor
    beside: Tensor
    vectors: Tensor

    def eigh(self) -> tuple[Tensor, Tensor]:
        """Return eigenvalues of T, increasing, and its eigenvectors as columns."""
        beside = self.beside[:-1]
        values, vectors = torch.linalg.eigh(self.diagonal.diag() + beside.diag(1) + beside.diag(-1))
        return values, vectors


class Eigenpairs(NamedTuple):
    """The largest eigenvalues.

    Attributes:
        values: decreasing, (count,), float64.
        vectors: orthonormal columns, (size, count), float64.
        products: how many products it took.
    """

    values: Tensor
    vectors: Tensor
    products: int


class Lanczos:
    """Grows a Krylov space, one product a step, in float64 and with two passes of re-orthogonalisation.

    Args:
        product: the matrix.
        start: first vector, (size,), of any length but 0; its device is that of the work.
    """

    def __init__(self, product: Product, start: Tensor) -> None:
        self.product = product
        start = start.double()
        self.vectors = [start / start.norm()]
        self.diagonal: list[Tensor] = []
        self.beside: list[Tensor] = []

    def step(self) -> bool:
        """Take a step; return whether there may be another one."""
        basis = torch.stack(self.vectors)
        moved = self.product(basis[-1]).double()
        self.diagonal.append(moved @ basis[-1])
        scale = moved.norm()
        for _ in range(2):
            moved = moved - basis.T @ (basis @ moved)
        length = moved.norm()
        exhausted = len(self.vectors) == len(moved) or bool(length <= 1e-10 * scale)
        self.beside.append(torch.zeros_like(length) if exhausted else length)
        if not exhausted:
            self.vectors.append(moved / length)
        return not exhausted

    def result(self) -> Tridiagonal:
        """Return what has been found so far."""
        vectors = torch.stack(self.vectors[: len(self.diagonal)], 1)
        return Tridiagonal(torch.stack(self.diagonal), torch.stack(self.beside), vectors)


def lanczos(product: Product, start: Tensor, steps: int) -> Tridiagonal:
    """Take so many steps, fewer if the space is exhausted before."""
    run = Lanczos(product, start)
    for _ in range(steps):
        if not run.step():
            break
    return run.result()


def largest_eigenpairs(product: Product, start: Tensor, count: int, tolerance: float = 1e-3, most: int = 200) -> Eigenpairs:
    """Return the algebraically largest eigenvalues and their vectors.

    It stops when every one is known to a relative error of `tolerance`, as far as the residual r of a Ritz value and its distance d
    to the next one tell: by min(r, r² / d).

    Args:
        product: the matrix.
        start: a random vector, (size,).
        count: how many, at most size.
        tolerance: relative to the eigenvalue itself.
        most: products after which it stops anyway.
    """
    run = Lanczos(product, start)
    more, steps = True, 0
    while more and steps < most:
        more, steps = run.step(), steps + 1
        if steps < count:
            continue
        found = run.result()
        values, inner = found.eigh()
        residuals = (found.beside[-1] * inner[-1]).abs()
        distances = torch.stack([(values - value).abs().sort().values[1] for value in values]) if steps > 1 else residuals
        errors = torch.minimum(residuals, residuals**2 / distances.clamp_min(1e-300))
        if steps > count and bool((errors[-count:] <= tolerance * values[-count:].abs()).all()):
            break
    found = run.result()
    values, inner = found.eigh()
    top = values.argsort(descending=True)[:count]
    return Eigenpairs(values[top], found.vectors @ inner[:, top], steps)
