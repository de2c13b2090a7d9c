"""Products of curvature matrices with vectors, none of which is ever formed."""

from collections.abc import Callable

import torch
from torch import Tensor

from callbacks.diagnostics.function import Loss, Parameters, flat

Product = Callable[[Tensor], Tensor]
"""From a vector (parameters,) to a symmetric matrix times it, in the vector's type."""


def gradient(loss: Loss, parameters: Parameters) -> Tensor:
    """Return the gradient of a loss as a vector (parameters,)."""
    grads = torch.autograd.grad(loss(parameters), list(parameters.values()))
    return flat(dict(zip(parameters, grads, strict=True)))


def hessian_product(loss: Loss, parameters: Parameters) -> Product:
    """Return v -> H v, with H the Hessian of a loss; by two backward passes (Pearlmutter 1994), 3 to 5 gradients each."""

    def product(vector: Tensor) -> Tensor:
        values = list(parameters.values())
        grads = torch.autograd.grad(loss(parameters), values, create_graph=True)
        slope = flat(dict(zip(parameters, grads, strict=True))) @ vector.to(grads[0].dtype)
        along = torch.autograd.grad(slope, values, materialize_grads=True)
        return flat(dict(zip(parameters, along, strict=True))).to(vector.dtype)

    return product
