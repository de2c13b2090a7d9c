"""A network as a function of its trained parameters."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

Parameters = dict[str, Tensor]
Loss = Callable[[Parameters], Tensor]
"""From parameters to a scalar."""


def detached_parameters(network: nn.Module) -> Parameters:
    """Return the trained parameters by name, as leaves of their own.

    They share values with the network's, but not `.grad`.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> parameters = detached_parameters(network)
        >>> parameters["weight"] is network.weight, parameters["weight"].requires_grad
        (False, True)
    """
    return {
        name: value.detach().requires_grad_()
        for name, value in network.named_parameters()
        if value.requires_grad
    }


def forward(network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the outputs of a network with other parameters.

    Frozen parameters and buffers are its own.

    Examples:
        >>> network = nn.Linear(1, 1)
        >>> doubled = {name: 2 * value for name, value in network.named_parameters()}
        >>> twice = forward(network, doubled, torch.ones(1, 1))
        >>> torch.allclose(twice, 2 * network(torch.ones(1, 1)))
        True
    """
    output: Tensor = functional_call(network, dict(parameters), (images,))
    return output


def mean_loss(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_function: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Loss:
    """Return the mean loss on examples as a function of the parameters.

    Args:
        network: in evaluation mode.
        inputs: (examples, …).
        targets: (examples, …).
        loss_function: from outputs and targets to their mean loss.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> loss = mean_loss(network, torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]))
        >>> parameters = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
        >>> loss(parameters)
        tensor(0.6931)
    """
    return lambda parameters: loss_function(forward(network, parameters, inputs), targets)


def gradients(value: Tensor, parameters: Parameters, create_graph: bool = False) -> Parameters:
    """Return the gradient of a scalar by each parameter; `.grad` is left alone.

    Zero by a parameter that it does not depend on.

    Examples:
        >>> parameters = {"w": torch.tensor([1.0, 2.0], requires_grad=True)}
        >>> gradients(parameters["w"].pow(2).sum(), parameters)
        {'w': tensor([2., 4.])}
    """
    partials = torch.autograd.grad(
        value, list(parameters.values()), create_graph=create_graph, materialize_grads=True
    )
    return dict(zip(parameters, partials, strict=True))


def norm(parts: Iterable[Tensor]) -> Tensor:
    """Return ||w||, a float64 scalar on the parameters' device.

    Examples:
        >>> norm([torch.tensor([3.0]), torch.tensor([4.0])])
        tensor(5., dtype=torch.float64)
    """
    sizes = torch.stack([torch.linalg.vector_norm(part, dtype=torch.float64) for part in parts])
    size: Tensor = torch.linalg.vector_norm(sizes)
    return size


def flatten(parts: Mapping[str, Tensor]) -> Tensor:
    """Join tensors to one vector, in the mapping's order.

    Examples:
        >>> flatten({"a": torch.ones(1, 2), "b": torch.zeros(1)})
        tensor([1., 1., 0.])
    """
    return torch.cat([part.reshape(-1) for part in parts.values()])


def unflatten(vector: Tensor, parts: Mapping[str, Tensor]) -> Parameters:
    """Cut a vector into tensors of the shapes and type of others; the inverse of `flatten`.

    Examples:
        >>> unflatten(torch.tensor([1.0, 2.0, 3.0]), {"a": torch.zeros(1, 2), "b": torch.zeros(1)})
        {'a': tensor([[1., 2.]]), 'b': tensor([3.])}
    """
    sizes = [part.numel() for part in parts.values()]
    pieces = zip(parts.items(), torch.split(vector, sizes), strict=True)
    return {name: piece.view_as(part).to(part.dtype) for (name, part), piece in pieces}
