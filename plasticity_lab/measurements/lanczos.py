"""Eigenvalues of a matrix that is only known by its products with vectors (Lanczos 1950)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from plasticity_lab.measurements.hvp import LinearOperator


class Tridiagonal(NamedTuple):
    """What Lanczos has found: V' A V = T.

    Attributes:
        diagonal: of T, (steps,), float64.
        off_diagonal: of T; its last entry is the remainder, 0 if the space is exhausted, (steps,).
        vectors: the columns of V, (size,) each, orthonormal.
    """

    diagonal: Tensor
    off_diagonal: Tensor
    vectors: Sequence[Tensor]

    def eigh(self) -> tuple[Tensor, Tensor]:
        """Return eigenvalues of T, increasing, and its eigenvectors as columns."""
        inner = self.off_diagonal[:-1]
        values, vectors = torch.linalg.eigh(self.diagonal.diag() + inner.diag(1) + inner.diag(-1))
        return values, vectors


class Eigenpairs(NamedTuple):
    """The largest eigenvalues.

    Attributes:
        values: decreasing, (count,), float64.
        vectors: orthonormal columns, (size, count).
        products: how many products it took.
    """

    values: Tensor
    vectors: Tensor
    products: int


class Lanczos:
    """Grows a Krylov space, one product a step, with two passes of re-orthogonalisation.

    Args:
        product: the matrix.
        start: first vector, (size,), of any length but 0; its device and type are those of the
            work.

    Examples:
        >>> matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
        >>> run = Lanczos(lambda vector: matrix @ vector, torch.ones(3, dtype=torch.float64))
        >>> while run.step():
        ...     pass
        >>> run.result().eigh()[0].round(decimals=6)
        tensor([1., 2., 3.], dtype=torch.float64)
    """

    def __init__(self, product: LinearOperator, start: Tensor) -> None:
        self.product = product
        self.vectors = [start / start.norm()]
        self.diagonal: list[Tensor] = []
        self.off_diagonal: list[Tensor] = []

    def step(self) -> bool:
        """Take a step; return whether there may be another one."""
        residual = self.product(self.vectors[-1])
        self.diagonal.append((residual @ self.vectors[-1]).double())
        scale = residual.norm()
        for vector in (*self.vectors, *self.vectors):
            residual = torch.addcmul(residual, vector, vector @ residual, value=-1)
        length = residual.norm()
        exhausted = len(self.vectors) == len(residual) or bool(length <= 1e-10 * scale)
        self.off_diagonal.append((torch.zeros_like(length) if exhausted else length).double())
        if not exhausted:
            self.vectors.append(residual / length)
        return not exhausted

    def result(self) -> Tridiagonal:
        """Return what has been found so far."""
        return Tridiagonal(
            torch.stack(self.diagonal),
            torch.stack(self.off_diagonal),
            self.vectors[: len(self.diagonal)],
        )


def lanczos(product: LinearOperator, start: Tensor, steps: int) -> Tridiagonal:
    """Take `steps` steps of Lanczos, fewer if the space is exhausted before.

    Examples:
        >>> matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
        >>> start = torch.ones(3, dtype=torch.float64)
        >>> tridiagonal = lanczos(lambda vector: matrix @ vector, start, steps=3)
        >>> tridiagonal.eigh()[0].round(decimals=6)
        tensor([1., 2., 3.], dtype=torch.float64)
    """
    run = Lanczos(product, start)
    for _ in range(steps):
        if not run.step():
            break
    return run.result()


def largest_eigenpairs(
    product: LinearOperator,
    start: Tensor,
    count: int,
    tolerance: float = 1e-3,
    max_steps: int | None = None,
) -> Eigenpairs:
    """Return the algebraically largest eigenvalues and their vectors.

    It stops when every one is known to a relative error of `tolerance`, as far as the residual r of
    a Ritz value and its distance d to the next one tell: by min(r, r² / d).

    Args:
        product: the matrix.
        start: a random vector, (size,).
        count: how many, at most size.
        tolerance: relative to the eigenvalue itself.
        max_steps: products after which it stops anyway; None is 200, or thrice `count` if more.

    Examples:
        >>> network, inputs = nn.Linear(3, 2), torch.randn(8, 3)
        >>> loss = mean_loss(network, inputs, torch.randint(2, (8,)))
        >>> parameters = detached_parameters(network)
        >>> product = hessian_vector_product(loss, parameters)
        >>> top = largest_eigenpairs(product, start=torch.randn(8), count=2)
        >>> bool(top.values[0] >= top.values[1])
        True
    """
    run = Lanczos(product, start)
    can_step, steps = True, 0
    most = max(200, 3 * count) if max_steps is None else max_steps
    while can_step and steps < most:
        can_step, steps = run.step(), steps + 1
        if steps < count:
            continue
        tridiagonal = run.result()
        values, inner = tridiagonal.eigh()
        residuals = (tridiagonal.off_diagonal[-1] * inner[-1]).abs()
        distances = (
            torch.stack([(values - value).abs().sort().values[1] for value in values])
            if steps > 1
            else residuals
        )
        errors = torch.minimum(residuals, residuals**2 / distances.clamp_min(1e-300))
        if steps > count and bool((errors[-count:] <= tolerance * values[-count:].abs()).all()):
            break
    tridiagonal = run.result()
    values, inner = tridiagonal.eigh()
    top = values.argsort(descending=True)[:count]
    vectors = torch.stack([_combined(tridiagonal.vectors, inner[:, place]) for place in top], 1)
    return Eigenpairs(values[top], vectors, steps)


def _combined(vectors: Sequence[Tensor], weights: Tensor) -> Tensor:
    total = torch.zeros_like(vectors[0])
    for vector, weight in zip(vectors, weights.to(vectors[0]), strict=True):
        total = torch.addcmul(total, vector, weight)
    return total
