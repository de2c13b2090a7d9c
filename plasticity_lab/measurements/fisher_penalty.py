"""The Fisher penalty: the squared norm of a batch's gradient for targets of the network's own."""

from collections.abc import Iterable

import torch
from torch import Tensor

from plasticity_lab.measurements.predictive import Categorical, Predictive

CATEGORICAL = Categorical()


def fisher_penalty(
    outputs: Tensor,
    targets: Tensor,
    parameters: Iterable[Tensor],
    predictive: Predictive = CATEGORICAL,
) -> Tensor:
    """Return |mean over examples of grad log p(target | output)|^2, a scalar with its graph.

    Jastrzebski et al. 2021, https://arxiv.org/abs/2012.14193. With targets drawn from the outputs'
    own distribution its expectation is tr F / examples. With the true targets it is their gradient
    penalty (GP).

    Args:
        outputs: (examples, …), with their graph, through which it is differentiated twice.
        targets: as `predictive.sample` draws them.
        parameters: whose gradient is taken.
        predictive: the distribution of targets given outputs.

    Examples:
        >>> network, inputs = nn.Linear(3, 2), torch.randn(4, 3)
        >>> outputs = network(inputs)
        >>> targets = Categorical().sample(outputs, torch.Generator().manual_seed(0))
        >>> fisher_penalty(outputs, targets, network.parameters()).backward()
        >>> bool(network.weight.grad.any())
        True
    """
    loss = -predictive.log_probability(outputs, targets).mean()
    # Without create_graph the penalty would have no gradient.
    slopes = torch.autograd.grad(loss, list(parameters), create_graph=True, allow_unused=True)
    squares = [slope.float().square().sum() for slope in slopes if slope is not None]
    return torch.stack(squares).sum()
