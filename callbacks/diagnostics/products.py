"""Products of curvature matrices with vectors, none of which is ever formed."""

from collections.abc import Callable

import torch
from torch import Tensor

from callbacks.diagnostics.function import Loss, Parameters, flat, gradients

Product = Callable[[Tensor], Tensor]
"""From a vector (parameters,) to a symmetric matrix times it, in the vector's type."""


def gradient(loss: Loss, parameters: Parameters) -> Tensor:
    """Return the gradient of a loss as a vector (parameters,)."""
    return flat(gradients(loss(parameters), parameters))


def hessian_product(loss: Loss, parameters: Parameters) -> Product:
    """Return v -> H v, with H the Hessian of a loss, by a second backward pass (Pearlmutter 1994).

    The graph of the gradient is made once and stays in memory as long as the product; then each product costs 2 to 3 gradients.
    """
    values = list(parameters.values())
    slope = flat(gradients(loss(parameters), parameters, create_graph=True))

    def product(vector: Tensor) -> Tensor:
        along = torch.autograd.grad(slope, values, vector.to(slope.dtype), retain_graph=True, materialize_grads=True)
        return flat(dict(zip(parameters, along, strict=True))).to(vector.dtype)

    return product
