"""Small networks and data on which everything can be computed densely."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from plasticity_lab.measurements.functional import (
    detached_parameters,
    flatten,
    forward,
    mean_loss,
    unflatten,
)


class Toy(NamedTuple):
    """A network and examples."""

    network: nn.Module
    images: Tensor
    labels: Tensor

    def hessian(self) -> Tensor:
        """Return the Hessian of the mean loss, dense."""
        parameters, loss = (
            detached_parameters(self.network),
            mean_loss(self.network, self.images, self.labels),
        )
        dense: Tensor = torch.func.jacrev(torch.func.grad(as_vector(loss, parameters)))(
            flatten(parameters).detach()
        )
        return dense


def as_vector(
    loss: Callable[[dict[str, Tensor]], Tensor], parameters: dict[str, Tensor]
) -> Callable[[Tensor], Tensor]:
    """Return a function of parameters as one of a vector."""
    return lambda vector: loss(unflatten(vector, parameters))


def mlp(activation: type[nn.Module] = nn.ReLU, trained: int = 60) -> Toy:
    """Return T1: 24 examples in 5 dimensions, 3 classes, 5-6-3, float64.

    After some steps of full-batch descent.
    """
    torch.manual_seed(0)
    images, labels = torch.randn(24, 5, dtype=torch.float64), torch.randint(0, 3, (24,))
    network = nn.Sequential(nn.Linear(5, 6), activation(), nn.Linear(6, 3)).double()
    for _ in range(trained):
        loss = nn.functional.cross_entropy(network(images), labels)
        for value, grad in zip(
            network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
        ):
            value.data -= 0.3 * grad
    return Toy(network.eval(), images, labels)


def convolutional() -> Toy:
    """Return T7: convolution, batch norm, ReLU, pooling, 5 classes, 12 examples, float64.

    In evaluation mode.
    """
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    ).double()
    return Toy(
        network.eval(), torch.randn(12, 3, 8, 8, dtype=torch.float64), torch.randint(0, 5, (12,))
    )


def jacobian(toy: Toy) -> Tensor:
    """Return the Jacobian of the logits, dense, (examples, classes, parameters)."""
    parameters = detached_parameters(toy.network)
    dense: Tensor = torch.func.jacrev(
        lambda vector: forward(toy.network, unflatten(vector, parameters), toy.images)
    )(flatten(parameters).detach())
    return dense
