"""How much a network's answers change between two moments."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from plasticity_lab.randomness import RandomState


def prediction_churn(outputs: Tensor, earlier: Tensor) -> float:
    """Return the share of examples whose predicted class is another one than before, in [0, 1].

    Args:
        outputs: (examples, classes).
        earlier: of the same examples, likewise.

    Examples:
        >>> prediction_churn(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.eye(2).flip(0) * 9)
        1.0
    """
    return float((outputs.argmax(1) != earlier.argmax(1)).double().mean())


def output_change(outputs: Tensor, earlier: Tensor) -> float:
    """Return the mean absolute difference of outputs, over examples and outputs.

    Args:
        outputs: (examples, outputs).
        earlier: of the same examples, likewise.

    Examples:
        >>> output_change(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        2.0
    """
    return float((outputs.double() - earlier.double()).abs().mean())


def churn_penalty(network: nn.Module, inputs: Tensor, earlier: Mapping[str, Tensor]) -> Tensor:
    """Return the mean squared difference of outputs from those of earlier weights, a scalar.

    C-CHAIN, Tang et al. 2025, https://arxiv.org/abs/2506.00592. It has the gradient of the present
    weights alone; with them as the earlier ones it is 0. Both passes draw the same dropout and
    normalise as the network's mode says; its buffers stay as they are.

    Args:
        network: called twice.
        inputs: of a reference batch, (examples, …).
        earlier: parameters by name, on any device; those that are missing are the network's.

    Examples:
        >>> network = nn.Linear(1, 1)
        >>> earlier = {name: value.detach() - 1 for name, value in network.named_parameters()}
        >>> penalty = churn_penalty(network, torch.tensor([[1.0], [2.0]]), earlier)
        >>> torch.allclose(penalty, torch.tensor((2.0**2 + 3.0**2) / 2))
        True
    """
    state = RandomState(inputs.device)
    with state.again(), torch.no_grad():
        moved = {name: value.to(inputs.device) for name, value in earlier.items()}
        before = _outputs(network, inputs, moved)
    with state.again():
        now = _outputs(network, inputs, {})
    return F.mse_loss(now.float(), before.float())


def _outputs(network: nn.Module, inputs: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Return outputs with other parameters; buffers are left as they are."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    outputs: Tensor = functional_call(network, {**parameters, **buffers}, (inputs,))
    return outputs
