"""The trace of the Fisher information, in total and by parameter."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from plasticity_lab.measurements.functional import (
    Parameters,
    detached_parameters,
    forward,
    gradients,
)
from plasticity_lab.measurements.predictive import Categorical, Predictive

CATEGORICAL = Categorical()


class Trace(NamedTuple):
    """An estimate of a trace for each parameter tensor; their sum is the whole.

    Attributes:
        parts: by name of the parameter.
        error: standard error of the sum; 0 for an exact one.
    """

    parts: dict[str, float]
    error: float

    @property
    def total(self) -> float:
        """The whole trace."""
        return sum(self.parts.values())


def fisher_trace(
    network: nn.Module,
    inputs: Tensor,
    generator: torch.Generator,
    batch_size: int = 10,
    predictive: Predictive = CATEGORICAL,
) -> Trace:
    """Estimate tr F = E_x E_{y ~ p(y|x)} |grad log p(y|x)|², one backward pass a batch.

    The estimate is unbiased.

    Targets are drawn from the model, so that scores have mean zero and the cross terms of a batch
    vanish: batch_size · |mean score|² has the expectation tr F. Small batches are best, since the
    variance of one draw hardly falls with its size.

    Args:
        network: in evaluation mode.
        inputs: (examples, …); those that fill no batch are left out, unless there is none.
        generator: draws the targets, on the CPU.
        batch_size: examples in a batch.
        predictive: the distribution of targets given outputs.

    Returns:
        the mean over batches, with its standard error (infinite for one batch).

    Examples:
        >>> network, inputs = nn.Linear(3, 2), torch.randn(100, 3)
        >>> trace = fisher_trace(network, inputs, torch.Generator().manual_seed(0))
        >>> sorted(trace.parts)
        ['bias', 'weight']
    """
    parameters = detached_parameters(network)
    size = min(batch_size, len(inputs))
    draws = []
    for batch in torch.split(inputs, size):
        if len(batch) == size:
            draws.append(_one_draw(network, parameters, batch, generator, predictive))
    values = torch.stack(draws).double().cpu()
    totals = values.sum(1)
    error = float(totals.std() / len(totals) ** 0.5) if len(totals) > 1 else float("inf")
    return Trace(dict(zip(parameters, values.mean(0).tolist(), strict=True)), error)


def _one_draw(
    network: nn.Module,
    parameters: Parameters,
    inputs: Tensor,
    generator: torch.Generator,
    predictive: Predictive,
) -> Tensor:
    outputs = forward(network, parameters, inputs)
    drawn = predictive.sample(outputs, generator)
    scores = gradients(predictive.log_probability(outputs, drawn).mean(), parameters)
    return len(inputs) * torch.stack([score.pow(2).sum() for score in scores.values()])


def fisher_trace_per_example(
    network: nn.Module, images: Tensor, generator: torch.Generator, chunk: int = 64
) -> Trace:
    """Estimate tr F from one drawn label and one gradient for each example (`vmap`).

    Arguments as `fisher_trace`.

    Examples:
        >>> network, inputs = nn.Linear(3, 2), torch.randn(100, 3)
        >>> fisher_trace_per_example(network, inputs, torch.Generator().manual_seed(0)).total > 0
        True
    """
    parameters = detached_parameters(network)
    squares = vmap(grad(_score(network)), in_dims=(None, 0, 0), chunk_size=chunk)
    with torch.no_grad():
        shares = forward(network, parameters, images).softmax(1)
    drawn = shares.float().cpu().multinomial(1, generator=generator).squeeze(1).to(images.device)
    squared_norms = _squares(squares(parameters, images, drawn))
    error = float(torch.stack(list(squared_norms.values())).sum(0).std() / len(images) ** 0.5)
    return Trace({name: float(part.mean()) for name, part in squared_norms.items()}, error)


def exact_fisher_trace(network: nn.Module, images: Tensor, chunk: int = 64) -> Trace:
    """Return tr F exactly: gradients of each example for each class, weighted by the model.

    Examples:
        >>> network, inputs = nn.Linear(3, 2), torch.randn(100, 3)
        >>> exact_fisher_trace(network, inputs).total > 0
        True
    """
    parameters = detached_parameters(network)
    squares = vmap(grad(_score(network)), in_dims=(None, 0, 0), chunk_size=chunk)
    with torch.no_grad():
        shares = forward(network, parameters, images).softmax(1)
    parts = dict.fromkeys(parameters, 0.0)
    for label in range(shares.shape[1]):
        squared_norms = _squares(
            squares(parameters, images, torch.full((len(images),), label, device=images.device))
        )
        for name, part in squared_norms.items():
            parts[name] += float((shares[:, label] * part).mean())
    return Trace(parts, 0.0)


def _score(network: nn.Module) -> Callable[[Parameters, Tensor, Tensor], Tensor]:
    def log_share(parameters: Parameters, image: Tensor, label: Tensor) -> Tensor:
        return forward(network, parameters, image[None])[0].log_softmax(0).gather(0, label[None])[0]

    return log_share


def _squares(scores: Parameters) -> Parameters:
    return {name: score.detach().pow(2).flatten(1).sum(1) for name, score in scores.items()}
