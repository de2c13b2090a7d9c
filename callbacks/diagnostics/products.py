"""Products of curvature matrices with vectors, none of which is ever formed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from callbacks.diagnostics.function import Loss, Parameters, flat, gradients, mean_loss, parameters_of
from callbacks.diagnostics.invisible import invisible
from callbacks.network import network_of
from plasticity_lab.errors import UserError

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


def check_twice_differentiable(who: str, module: nn.Module, shape: tuple[int, int, int]) -> None:
    """Raise UserError, in the name of who asks, for a network that has no products with the Hessian.

    Args:
        who: the diagnostic.
        module: what holds the network.
        shape: of an image (channels, height, width).
    """
    network = network_of(module)
    with invisible(module):
        device, parameters = next(module.parameters()).device, parameters_of(network)
        blank, label = torch.zeros(2, *shape, device=device), torch.zeros(2, dtype=torch.long, device=device)
        try:
            hessian_product(mean_loss(network, blank, label), parameters)(flat(parameters).detach())
        # torch says so of its own operations by RuntimeError, of others by NotImplementedError.
        except (NotImplementedError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(who, problem=f"the network has no second derivative ({reason})", fix="leave it out") from error
