"""What a network's outputs say of targets: the distribution that Fisher information draws from."""

from typing import Protocol

import torch
from torch import Tensor


class Predictive(Protocol):
    """A distribution of targets given outputs.

    Not `torch.distributions`, whose samples cannot be drawn from a generator of one's own.
    """

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a target for each example, on the device of the outputs (batch, …)."""

    def log_probability(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the log-density of each target, up to a constant, (batch,)."""

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return the Kullback-Leibler divergence from reference outputs to outputs, (batch,).

        That is KL(p_reference || p_outputs), 0 where both say the same.
        """


class Categorical:
    """Classes with probabilities softmax(outputs).

    Examples:
        >>> outputs = torch.tensor([[0.0, 9.0]])
        >>> Categorical().sample(outputs, torch.Generator().manual_seed(0))
        tensor([1])
    """

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw class numbers, int64 (batch,), on the CPU, so that they agree between devices."""
        probabilities = outputs.detach().log_softmax(1).exp().float().cpu()
        drawn = probabilities.multinomial(1, generator=generator).squeeze(1)
        return drawn.to(outputs.device)

    def log_probability(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return log softmax(outputs) at the class numbers, (batch,)."""
        return outputs.log_softmax(1).gather(1, targets[:, None]).squeeze(1)

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return sum over classes of p log(p / q), (batch,)."""
        p, q = reference.log_softmax(1), outputs.log_softmax(1)
        return (p.exp() * (p - q)).sum(1)


class Gaussian:
    """Real values with mean `outputs` and variance 1, for which F = mean of J'J.

    Examples:
        >>> Gaussian().log_probability(torch.tensor([[1.0]]), torch.tensor([[3.0]]))
        tensor([-2.])
    """

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw values of the outputs' shape; noise is drawn on the CPU."""
        noise = torch.randn(outputs.shape, generator=generator)
        return outputs.detach() + noise.to(outputs)

    def log_probability(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return -|targets - outputs|² / 2, (batch,)."""
        return -0.5 * (targets.reshape(outputs.shape) - outputs).flatten(1).pow(2).sum(1)

    def divergence(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return |outputs - reference|² / 2, (batch,)."""
        return 0.5 * (outputs - reference).flatten(1).pow(2).sum(1)
