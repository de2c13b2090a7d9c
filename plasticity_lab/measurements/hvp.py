"""Products of curvature matrices with vectors, none of which is ever formed."""

from collections.abc import Callable

import torch
from torch import Tensor

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.functional import Loss, Parameters, flatten, gradients

LinearOperator = Callable[[Tensor], Tensor]
"""From a vector (parameters,) to a symmetric matrix times it, in the vector's type."""


def gradient(loss: Loss, parameters: Parameters) -> Tensor:
    """Return the gradient of a loss as a vector (parameters,).

    Examples:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> gradient(lambda parameters: parameters["w"].pow(2).sum(), {"w": w})
        tensor([2., 4.])
    """
    return flatten(gradients(loss(parameters), parameters))


def hessian_vector_product(loss: Loss, parameters: Parameters) -> LinearOperator:
    """Return v -> H v, with H the Hessian of a loss, by a second backward pass (Pearlmutter 1994).

    The graph of the gradient is made once and stays in memory as long as the product; then each
    product costs 2 to 3 gradients.

    Examples:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> product = hessian_vector_product(lambda p: p["w"].pow(3).sum(), {"w": w})
        >>> product(torch.tensor([1.0, 1.0]))
        tensor([ 6., 12.])
    """
    values = list(parameters.values())
    slope = flatten(gradients(loss(parameters), parameters, create_graph=True))

    def product(vector: Tensor) -> Tensor:
        products = torch.autograd.grad(
            slope, values, vector.to(slope.dtype), retain_graph=True, materialize_grads=True
        )
        return flatten(dict(zip(parameters, products, strict=True))).to(vector.dtype)

    return product


def check_twice_differentiable(loss: Loss, parameters: Parameters) -> None:
    """Raise UserError for a loss that has no products with its Hessian.

    Args:
        loss: as `hessian_vector_product` takes it.
        parameters: of the network.

    Examples:
        >>> parameters = {"w": torch.ones(2).requires_grad_()}
        >>> check_twice_differentiable(lambda p: p["w"].exp().sum(), parameters)
    """
    try:
        hessian_vector_product(loss, parameters)(flatten(parameters).detach())
    # torch says so of its own operations by RuntimeError, of others by NotImplementedError.
    except (NotImplementedError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        problem = f"has no second derivative ({reason})"
        raise UserError("network", problem=problem, fix="remove it") from error
