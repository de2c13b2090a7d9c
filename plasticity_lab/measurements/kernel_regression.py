"""Regression by a kernel: in closed form, and as gradient descent would have it at a time."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from plasticity_lab.errors import UserError


def kernel_regression(
    kernel: Tensor, cross_kernel: Tensor, targets: Tensor, regularisation: float = 0.0
) -> Tensor:
    """Return predictions K* (K + r m I)^-1 Y, with m the mean of the diagonal of K; float64.

    The mean of a Gaussian process given noisy targets; with the NTK, what an infinitely wide
    network, centred at its initial outputs, converges to on squared error (Lee et al. 2020,
    https://arxiv.org/abs/2007.15801).

    Args:
        kernel: K between training examples, (examples, examples).
        cross_kernel: K*, (others, examples).
        targets: Y, (examples, outputs).
        regularisation: r, relative to the mean of the diagonal, 0 or more; 0 is none.

    Returns:
        (others, outputs).

    Raises:
        UserError: for a matrix that is singular to the precision of float64.

    Examples:
        >>> kernel_regression(2 * torch.eye(2), torch.tensor([[1.0, 0.0]]), torch.ones(2, 1))
        tensor([[0.5000]], dtype=torch.float64)
    """
    kernel = kernel.double()
    ridge = regularisation * kernel.diagonal().mean()
    regularised = kernel + ridge * torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    factor, failed = torch.linalg.cholesky_ex(regularised)
    if failed:
        raise UserError(
            "regularisation",
            value=regularisation,
            problem="the kernel is singular to the precision of float64",
            fix="set a larger one, such as 1e-6",
        )
    return cross_kernel.double() @ torch.cholesky_solve(targets.double(), factor)


def choose_regularisation(
    kernel: Tensor, targets: Tensor, held_out: Tensor, candidates: Iterable[float]
) -> float:
    """Return the regularisation with the least squared error on held-out training examples.

    The first of equal ones; a candidate that leaves the kernel singular is never chosen.

    Args:
        kernel: between training examples, (examples, examples).
        targets: (examples, outputs).
        held_out: which of the examples choose, and are not fitted meanwhile, bool (examples,).
        candidates: relative to the mean of the diagonal.

    Raises:
        UserError: if every candidate leaves it singular.

    Examples:
        >>> held_out = torch.tensor([False, False, True])
        >>> choose_regularisation(torch.eye(3) + 1, torch.ones(3, 1), held_out, [0.0, 1.0])
        0.0
    """
    fitted = ~held_out
    inner, cross = kernel[fitted][:, fitted], kernel[held_out][:, fitted]
    errors: dict[float, float] = {}
    for candidate in candidates:
        try:
            predicted = kernel_regression(inner, cross, targets[fitted], candidate)
        except UserError:
            continue
        errors[candidate] = float((predicted - targets[held_out]).square().mean())
    if not errors:
        raise UserError(
            "regularisation",
            problem="with every candidate the kernel is singular to the precision of float64",
            fix="add a larger one",
        )
    return min(errors, key=errors.__getitem__)


class Steps(NamedTuple):
    """Steps of gradient descent at a constant rate.

    Attributes:
        rate: the learning rate.
        taken: how many.
    """

    rate: float
    taken: int


class KernelDescent:
    """Full-batch gradient descent on squared error, in a network that its kernel describes.

    On 1/(2N) sum_i |f(x_i) - y_i|^2 a step at rate r multiplies the error along an eigenvector of
    the kernel with eigenvalue v by 1 - r v / N; f is 0 before the first step. With the NTK these
    are the outputs of an infinitely wide network, centred at its initial ones (Jacot et al. 2018,
    https://arxiv.org/abs/1806.07572; Lee et al. 2019, https://arxiv.org/abs/1902.06720).

    Args:
        kernel: between training examples, (examples, examples).
        targets: y, (examples, outputs).

    Examples:
        >>> descent = KernelDescent(torch.eye(2), torch.ones(2, 1))
        >>> descent.predict(torch.eye(2), [Steps(rate=1.0, taken=2)]).flatten()
        tensor([0.7500, 0.7500], dtype=torch.float64)
        >>> descent.predict(torch.eye(2)).flatten()
        tensor([1., 1.], dtype=torch.float64)
    """

    def __init__(self, kernel: Tensor, targets: Tensor) -> None:
        found = torch.linalg.eigh(kernel.double())
        self.values: Tensor = found.eigenvalues
        self.vectors: Tensor = found.eigenvectors
        self._projected = self.vectors.T @ targets.double()

    @property
    def largest_rate(self) -> float:
        """The learning rate above which descent diverges: 2 N / largest eigenvalue."""
        return 2 * len(self.values) / float(self.values[-1])

    def predict(self, cross_kernel: Tensor, steps: Sequence[Steps] | None = None) -> Tensor:
        """Return what is predicted after so many steps, (others, outputs), float64.

        Args:
            cross_kernel: (others, examples).
            steps: taken, at one rate after another; None is what descent converges to. Directions
                whose eigenvalue is 0 to the precision of float64 are left out there.
        """
        learned = self._converged() if steps is None else self._learned(steps)
        return self._combine(cross_kernel, learned)

    def flow(self, cross_kernel: Tensor, time: float) -> Tensor:
        """Return what is predicted by gradient flow at a time, (others, outputs), float64.

        K* K^-1 (I - exp(-time K / N)) Y: the limit of small rates; time is rate x steps.
        """
        learned = -torch.expm1(-time / len(self.values) * self.values) / self.values
        return self._combine(cross_kernel, learned)

    def _combine(self, cross_kernel: Tensor, learned: Tensor) -> Tensor:
        components = learned[:, None] * self._projected
        combined: Tensor = (cross_kernel.double() @ self.vectors) @ components
        return combined

    def _converged(self) -> Tensor:
        least = len(self.values) * torch.finfo(torch.float64).eps * self.values[-1]
        return torch.where(self.values > least, 1 / self.values, 0.0)

    def _learned(self, steps: Sequence[Steps]) -> Tensor:
        """Return (1 - product of (1 - rate v / N)^count) / v, also where v is nearly 0."""
        learned, left = torch.zeros_like(self.values), torch.ones_like(self.values)
        for rate, taken in steps:
            shrunk = rate / len(self.values) * self.values
            # Of a geometric series; the logarithm keeps digits where a step shrinks little.
            small = -torch.expm1(taken * torch.log1p(-shrunk.clamp(max=0.5)))
            done = torch.where(shrunk < 0.5, small, 1 - (1 - shrunk) ** taken)
            learned = learned + left * done
            left = left * (1 - shrunk) ** taken
        return learned / self.values
