"""A network as a function of its trained parameters."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

Parameters = dict[str, Tensor]
Loss = Callable[[Parameters], Tensor]
"""From parameters to a scalar."""


def parameters_of(network: nn.Module) -> Parameters:
    """Return the parameters that are trained, by name, as leaves of their own: their values are shared, their `.grad` is not."""
    return {name: value.detach().requires_grad_() for name, value in network.named_parameters() if value.requires_grad}


def logits(network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return logits (batch, classes) of a network with other parameters; frozen ones and buffers are its own."""
    output: Tensor = functional_call(network, dict(parameters), (images,))
    return output


def mean_loss(network: nn.Module, images: Tensor, labels: Tensor) -> Loss:
    """Return the mean cross-entropy on examples, without weight decay or label smoothing, as a function of the parameters."""
    return lambda parameters: F.cross_entropy(logits(network, parameters, images), labels)


def gradients(value: Tensor, parameters: Parameters, create_graph: bool = False) -> Parameters:
    """Return the gradient of a scalar by each parameter, zero by one that it does not depend on; `.grad` is left alone."""
    found = torch.autograd.grad(value, list(parameters.values()), create_graph=create_graph, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))


def norm(parts: Iterable[Tensor]) -> Tensor:
    """Return ||w||, a float64 scalar on the parameters' device."""
    sizes = torch.stack([torch.linalg.vector_norm(part, dtype=torch.float64) for part in parts])
    size: Tensor = torch.linalg.vector_norm(sizes)
    return size


def flat(parts: Mapping[str, Tensor]) -> Tensor:
    """Join tensors to one vector, in the mapping's order."""
    return torch.cat([part.reshape(-1) for part in parts.values()])


def like(vector: Tensor, parts: Mapping[str, Tensor]) -> Parameters:
    """Cut a vector into tensors of the shapes and type of others; the inverse of `flat`."""
    sizes = [part.numel() for part in parts.values()]
    pieces = zip(parts.items(), torch.split(vector, sizes), strict=True)
    return {name: piece.view_as(part).to(part.dtype) for (name, part), piece in pieces}
