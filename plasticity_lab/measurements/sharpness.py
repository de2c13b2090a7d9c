"""How the loss rises around the weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from plasticity_lab.measurements.functional import Loss, Parameters, gradients, norm
from plasticity_lab.randomness import generator


def gaussian_direction(parameters: Mapping[str, Tensor], seed: int, draw: int) -> Parameters:
    """Draw standard normal noise for each parameter, keyed by seed, draw and its name.

    Examples:
        >>> direction = gaussian_direction({"w": torch.zeros(2)}, seed=0, draw=0)
        >>> direction["w"].shape
        torch.Size([2])
    """
    streams = {name: generator(seed, "Flatness", draw, name) for name in parameters}
    return {
        name: torch.randn(parameter.shape, generator=streams[name]).to(parameter)
        for name, parameter in parameters.items()
    }


@torch.no_grad()
def filter_normalised(noise: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> Parameters:
    """Give the noise of each filter (unit) the filter's own norm.

    Biases and batch norm's parameters get none. As Li et al. 2018 do for their pictures of the loss
    (https://arxiv.org/abs/1712.09913); factors that batch norm undoes then change nothing.

    Args:
        noise: for each parameter.
        parameters: of those with more than one dimension the first counts filters.

    Examples:
        >>> parameters = {"weight": torch.tensor([[3.0, 4.0]])}
        >>> noise = {"weight": torch.tensor([[1.0, 0.0]])}
        >>> filter_normalised(noise, parameters)
        {'weight': tensor([[5., 0.]])}
    """
    relative = {}
    for name, parameter in parameters.items():
        if parameter.ndim < 2:
            relative[name] = torch.zeros_like(noise[name])
        else:
            relative[name] = noise[name] * _filter_norms(parameter) / _filter_norms(noise[name])
    return relative


def _filter_norms(tensor: Tensor) -> Tensor:
    """Return the norm of each filter, in a shape that multiplies the filters."""
    norms: Tensor = tensor.flatten(1).norm(dim=1)
    return norms.view(-1, *[1] * (tensor.ndim - 1))


@torch.no_grad()
def loss_near(
    loss: Loss, parameters: Mapping[str, Tensor], direction: Mapping[str, Tensor], step: float
) -> float:
    """Return L(w + step · direction).

    Examples:
        >>> loss_near(lambda p: p["w"].sum(), {"w": torch.ones(2)}, {"w": torch.ones(2)}, step=0.5)
        3.0
    """
    return float(loss({name: part + step * direction[name] for name, part in parameters.items()}))


def sam_sharpness(loss: Loss, parameters: Mapping[str, Tensor], rho: float) -> float:
    """Return L(w + rho · g / |g|) - L(w), how much the loss rises within a radius rho.

    A first-order estimate by the ascent step of SAM (Foret et al. 2021,
    https://arxiv.org/abs/2010.01412), with g the gradient on the whole probe; 0 where the gradient
    is 0.

    Examples:
        >>> w = torch.tensor([1.0], requires_grad=True)
        >>> round(sam_sharpness(lambda p: p["w"].pow(2).sum(), {"w": w}, rho=0.05), 4)
        0.1025
    """
    value = loss(dict(parameters))
    ascent = gradients(value, dict(parameters))
    length = float(norm(ascent.values()))
    if not length:
        return 0.0
    return loss_near(loss, parameters, ascent, rho / length) - float(value.detach())
