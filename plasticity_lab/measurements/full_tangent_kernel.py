"""The tangent kernel between all outputs of all examples, as a linear operator."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from plasticity_lab.measurements.functional import detached_parameters, flatten, forward
from plasticity_lab.measurements.hvp import LinearOperator
from plasticity_lab.measurements.lanczos import largest_eigenpairs
from plasticity_lab.randomness import generator

TOLERANCE = 1e-4
"""Of the largest eigenvalue, relative to itself."""


def full_kernel_product(network: nn.Module, images: Tensor) -> LinearOperator:
    """Return v -> J J'v, with J the Jacobian of all logits, (examples · classes, parameters).

    The kernel itself would have (examples · classes)² numbers, a product has one vector of
    parameters and one of examples · classes. The graph of the outputs and of J'w is made once and
    stays in memory as long as the product; then each product is two backward passes.

    Args:
        network: in evaluation mode.
        images: (examples, …).

    Returns:
        a function of vectors (examples · classes,), an example's classes beside one another.

    Examples:
        >>> network, inputs = nn.Linear(3, 2), torch.randn(4, 3)
        >>> full_kernel_product(network, inputs)(torch.ones(8)).shape
        torch.Size([8])
    """
    parameters = detached_parameters(network)
    values = list(parameters.values())
    # The other kernels of attention have no second derivative.
    with sdpa_kernel(SDPBackend.MATH):
        outputs = forward(network, parameters, images).flatten()

    # J'w is linear in w, so that its derivative by w is J', and a backward pass through it is J u.
    weights = torch.zeros_like(outputs, requires_grad=True)
    products = torch.autograd.grad(
        outputs, values, weights, create_graph=True, materialize_grads=True
    )
    slope = flatten(dict(zip(parameters, products, strict=True)))

    def product(vector: Tensor) -> Tensor:
        """Return J (J'v)."""
        vjp = torch.autograd.grad(
            outputs, values, vector.to(outputs.dtype), retain_graph=True, materialize_grads=True
        )
        (image,) = torch.autograd.grad(
            slope, weights, flatten(dict(zip(parameters, vjp, strict=True))), retain_graph=True
        )
        return image.to(vector.dtype)

    return product


def largest_full_eigenvalue(network: nn.Module, images: Tensor, classes: int, seed: int) -> float:
    """Return the largest eigenvalue of J J' by Lanczos in float64.

    To a relative error of 1e-4.

    Args:
        network: in evaluation mode.
        images: (examples, …).
        classes: number of logits.
        seed: keys the start vector, the same for all weights.

    Examples:
        >>> network = nn.Linear(3, 1, bias=False)
        >>> inputs = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> round(largest_full_eigenvalue(network, inputs, classes=1, seed=0), 3)
        4.0
    """
    start = torch.randn(
        len(images) * classes, generator=generator(seed, "full kernel"), dtype=torch.float64
    )
    product = full_kernel_product(network, images)
    return float(largest_eigenpairs(product, start.to(images.device), 1, TOLERANCE).values[0])


def stability(rate: float, eigenvalue: float, examples: int) -> float:
    """Return rate · eigenvalue / (2 · examples), below 1 where gradient descent is stable.

    That is, full-batch gradient descent on squared loss.

    With the loss L = 1/(2N) Σ_i |f(x_i) - y_i|², summed over classes, a step changes the outputs by
    -(rate / N) · J J'(f - y) to first order, so that the error along an eigenvector of J J' is
    multiplied by 1 - rate · eigenvalue / N. That is exact for a network linear in its parameters
    and holds near a minimum of any other. It is a bound of this loss alone, without momentum or
    weight decay, in a network whose outputs do not depend on the batch; for cross-entropy or with
    momentum the bound is another (for both, that of the Hessian of their own loss).

    Examples:
        >>> stability(rate=0.1, eigenvalue=40.0, examples=2)
        1.0
    """
    return rate * eigenvalue / (2 * examples)
