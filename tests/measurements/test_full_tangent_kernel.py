"""The full tangent kernel against the dense Jacobian, and its bound against gradient descent."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from plasticity_lab.measurements.full_tangent_kernel import (
    TOLERANCE,
    full_kernel_product,
    largest_full_eigenvalue,
    stability,
)
from plasticity_lab.measurements.functional import detached_parameters, forward
from plasticity_lab.measurements.tangent_kernel import tangent_kernels
from tests.measurements.toys import Toy, convolutional, jacobian, mlp


class Attentive(nn.Module):
    """Attention over the pixels' rows."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.spare = nn.Linear(2, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, 2)
        forward: Tensor = self.head(self.attention(rows, rows, rows, need_weights=False)[0].mean(1))
        return forward


def attentive() -> Toy:
    torch.manual_seed(0)
    return Toy(
        Attentive().double().eval(),
        torch.randn(5, 1, 8, 8, dtype=torch.float64),
        torch.arange(5) % 3,
    )


@pytest.mark.parametrize(
    "toy",
    [mlp(), mlp(nn.Tanh), convolutional(), attentive()],
    ids=["relu", "tanh", "conv", "attention"],
)
def test_it_is_the_dense_one(toy: Toy) -> None:
    # The dense Jacobian is batched, which other kernels of attention are not made for.
    with sdpa_kernel(SDPBackend.MATH):
        rows = jacobian(toy).flatten(0, 1)
    dense, product = rows @ rows.T, full_kernel_product(toy.network, toy.images)
    columns = torch.stack(
        [product(vector) for vector in torch.eye(len(rows), dtype=torch.float64)], 1
    )
    assert torch.allclose(columns, dense, rtol=1e-12, atol=1e-13)
    largest, classes = torch.linalg.eigvalsh(dense)[-1], len(rows) // len(toy.images)
    eigenvalue = largest_full_eigenvalue(toy.network, toy.images, classes, seed=0)
    assert eigenvalue == pytest.approx(float(largest), rel=TOLERANCE)
    assert eigenvalue == largest_full_eigenvalue(toy.network, toy.images, classes, seed=0)


def test_the_trace_kernel_is_its_sum_over_classes_and_has_a_larger_eigenvalue() -> None:
    toy = convolutional()
    rows = jacobian(toy)
    full = torch.einsum("icp,jdp->icjd", rows, rows)
    trace = torch.stack(list(tangent_kernels(toy.network, toy.images).values())).sum(0)
    assert torch.allclose(trace, torch.einsum("icjc->ij", full), rtol=1e-12)
    largest = largest_full_eigenvalue(toy.network, toy.images, 5, seed=0)
    of_trace = float(torch.linalg.eigvalsh(trace)[-1])
    assert 1.5 * largest < of_trace <= 5 * largest, "up to the number of classes times as large"


def descent(
    toy: Toy, targets: Tensor, rate: float, steps: int, begin: Callable[[str, Tensor], Tensor]
) -> list[float]:
    """Return L = 1/(2N) Σ |f - y|² before each step of full-batch gradient descent."""
    parameters = {
        name: begin(name, value).detach().clone().requires_grad_()
        for name, value in detached_parameters(toy.network).items()
    }
    losses = []
    for _ in range(steps):
        loss = (forward(toy.network, parameters, toy.images) - targets).pow(2).sum() / (
            2 * len(targets)
        )
        losses.append(loss.item())
        slopes = torch.autograd.grad(loss, list(parameters.values()))
        for value, slope in zip(parameters.values(), slopes, strict=True):
            value.data -= rate * slope
    return losses


def rate_at(toy: Toy, level: float) -> float:
    """Return the rate at which the stability is `level`."""
    classes = forward(toy.network, {}, toy.images[:1]).shape[1]
    return level / stability(
        1, largest_full_eigenvalue(toy.network, toy.images, classes, seed=0), len(toy.images)
    )


def test_descent_on_squared_loss_turns_at_1_where_outputs_are_linear_in_parameters() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(20, 6, dtype=torch.float64, generator=draws)
    toy = Toy(nn.Linear(6, 4).double(), images, torch.arange(20) % 4)
    targets = torch.randn(20, 4, dtype=torch.float64, generator=draws)
    below, above = (
        descent(toy, targets, rate_at(toy, level), 400, lambda name, value: value)
        for level in (0.99, 1.01)
    )
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(below))
    assert above[-1] > 1e3 * above[0]
    # The error along the top eigenvector is multiplied by 1 - 2 · 1.01 a step.
    assert (above[-1] / above[-2]) ** 0.5 == pytest.approx(1.02, rel=1e-3)


@pytest.mark.parametrize("toy", [mlp(nn.Tanh), convolutional()], ids=["tanh", "conv"])
def test_descent_on_squared_loss_turns_at_1_near_a_minimum(toy: Toy) -> None:
    """The minimum is that of targets that are the network's own outputs."""
    targets, draws = forward(toy.network, {}, toy.images).detach(), torch.Generator().manual_seed(0)

    def nearby(name: str, value: Tensor) -> Tensor:
        return value + 1e-6 * torch.randn(value.shape, dtype=torch.float64, generator=draws)

    below, above = (
        descent(toy, targets, rate_at(toy, level), 300, nearby) for level in (0.97, 1.03)
    )
    assert below[-1] < 0.1 * below[0]
    assert max(above) > 1e4 * above[0]


def test_descent_is_smooth_where_the_trace_kernel_says_that_it_is_unstable() -> None:
    toy = mlp(nn.Tanh, trained=0)
    trace = torch.stack(list(tangent_kernels(toy.network, toy.images).values())).sum(0)
    rate = rate_at(toy, 0.8)
    assert stability(rate, float(torch.linalg.eigvalsh(trace)[-1]), len(toy.images)) > 1
    targets = nn.functional.one_hot(toy.labels).double()
    losses = descent(toy, targets, rate, 60, lambda name, value: value)
    assert all(later < earlier for earlier, later in pairwise(losses))
