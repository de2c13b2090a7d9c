"""Gradients on a memorisation task: how strongly a network reacts to random labels."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from plasticity_lab.measurements.functional import (
    Parameters,
    detached_parameters,
    forward,
    gradients,
    mean_loss,
)


class SquaredNorms(NamedTuple):
    """Expected squared norms of gradients.

    Attributes:
        example: of the gradient of one example's loss.
        batch: of the gradient of a batch's mean loss.

    Examples:
        >>> SquaredNorms(example=8.0, batch=2.0).example
        8.0
    """

    example: float
    batch: float


def memorisation_gradients(
    network: nn.Module,
    inputs: Tensor,
    generator: torch.Generator,
    batch_size: int = 50,
    draws: int = 5,
    chunk: int = 64,
) -> SquaredNorms:
    """Estimate the expected squared norms of gradients of the cross-entropy under random labels.

    With g_i(y) the gradient of the cross-entropy at example x_i and label y by all parameters, and
    labels y_1, y_2, … independent and uniform over the classes, these are

        example = E_i E_y |g_i(y)|²
        batch   = E_B E_y |1/|B| sum over i in B of g_i(y_i)|²

    Both are defined here, as a measure of what is left to learn by memorising: where units or
    directions are redundant or dead, labels that are new move the network little. Compare with the
    values of a fresh network of the same architecture. If gradients of examples were independent
    with mean zero, `batch` would be `example` / |B|; it is larger where they point the same way.

    Args:
        network: in evaluation mode.
        inputs: (examples, …); those that fill no batch are left out of `batch`, unless there is
            none.
        generator: draws the labels, on the CPU.
        batch_size: examples in a batch B.
        draws: how many labels are drawn for each example.
        chunk: examples whose gradients are held at once.

    Returns:
        means over examples, batches and draws.

    Examples:
        >>> network, inputs = nn.Linear(3, 2), torch.randn(100, 3)
        >>> norms = memorisation_gradients(network, inputs, torch.Generator().manual_seed(0))
        >>> 0 < norms.batch < norms.example
        True
    """
    parameters = detached_parameters(network)
    with torch.no_grad():
        classes = network(inputs[:2]).shape[1]

    def loss(parameters: Parameters, image: Tensor, label: Tensor) -> Tensor:
        outputs = forward(network, parameters, image[None])
        return nn.functional.cross_entropy(outputs, label[None])

    def squared_norm(parameters: Parameters, image: Tensor, label: Tensor) -> Tensor:
        return _square(grad(loss)(parameters, image, label))

    squared_norms = vmap(squared_norm, in_dims=(None, 0, 0), chunk_size=chunk)
    size = min(batch_size, len(inputs))
    examples: list[Tensor] = []
    batches: list[Tensor] = []
    for _ in range(draws):
        labels = torch.randint(classes, (len(inputs),), generator=generator).to(inputs.device)
        examples.append(squared_norms(parameters, inputs, labels).detach())
        for images, targets in zip(
            torch.split(inputs, size), torch.split(labels, size), strict=True
        ):
            if len(images) == size:
                batch_loss = mean_loss(network, images, targets)(parameters)
                batches.append(_square(gradients(batch_loss, parameters)))
    return SquaredNorms(float(torch.cat(examples).mean()), float(torch.stack(batches).mean()))


def _square(parts: Parameters) -> Tensor:
    """Return the squared norm of all parts together, a float64 scalar."""
    return torch.stack([part.double().pow(2).sum() for part in parts.values()]).sum()
