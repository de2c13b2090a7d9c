"""Units that add nothing of their own: duplicates, and those whose activation is flat or linear."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.activations import Call, by_block, recorded
from plasticity_lab.surgery.activation_functions import ACTIVATIONS

_SIGMOIDS = {torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_}
ELEMENTWISE = ACTIVATIONS | _SIGMOIDS | {F.hardsigmoid, F.logsigmoid, F.softsign}
"""Functions of one number each, which units end in: sigmoids saturate as well."""

FLAT = 1e-3
"""How far a slope may be from 0 or 1 to count as that."""


def activations(
    network: nn.Module, images: Tensor, take: Callable[[int, Call], Tensor]
) -> dict[str, list[Tensor]]:
    """Return `take` of every activation function of the network, by block, in order.

    As `rectified`, for all of torch's activation functions, also hyperbolic tangents and sigmoids.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width).
        take: from the number of the activation and its call (`args`, `output`) to a new tensor with
            a row for each image.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        >>> outputs = activations(network, torch.ones(5, 3), lambda number, call: call.output)
        >>> {block: [tuple(one.shape) for one in layers] for block, layers in outputs.items()}
        {'1': [(5, 4)]}
    """
    return by_block(recorded(network, images, ELEMENTWISE, take))


def check_activations(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if no activation function acts on inputs."""
    if not activations(network, inputs, lambda number, call: call.output.flatten(1)):
        problem = "has no activation function, whose units it looks at"
        raise UserError("network", problem=problem, fix="remove it")


def slopes(call: Call) -> Tensor:
    """Return the derivative of an activation function where it was called, of the output's shape.

    Args:
        call: as `activations` shows it.

    Examples:
        >>> network = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
        >>> with torch.no_grad(): _ = network[0].weight.fill_(1), network[0].bias.fill_(0)
        >>> inputs = torch.tensor([[-1.0], [2.0]])
        >>> activations(network, inputs, lambda number, call: slopes(call))["1"]
        [tensor([[0.],
                [1.]])]
    """
    with torch.enable_grad():
        place = call.args[0].detach().requires_grad_()
        # A copy, as some work in place.
        output = call.function(place.clone(), *call.args[1:], **call.kwargs)
        slope: Tensor = torch.autograd.grad(output.sum(), place)[0]
    return slope


def slope_shares(slopes: Tensor, value: float) -> Tensor:
    """Return at what share of positions each unit's slope is a value, float64 (examples, units).

    Args:
        slopes: (examples, units); (examples, tokens, units); (examples, units, height, width).
        value: 0, where the activation is flat, or 1, where it is the identity; up to 0.001.

    Examples:
        >>> slope_shares(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), 1.0)
        tensor([[0., 1.],
                [1., 1.]], dtype=torch.float64)
    """
    is_value = ((slopes - value).abs() <= FLAT).double()
    if slopes.ndim < 3:
        return is_value
    return is_value.mean(1) if slopes.ndim == 3 else is_value.flatten(2).mean(2)


def saturated_units(flat: Tensor, tau: float = 0.01) -> Tensor:
    """Return which units are flat on a share of at least 1 - tau of the examples, bool (units,).

    There no gradient passes them: a ReLU that is dead, a hyperbolic tangent or a sigmoid far out.

    Args:
        flat: `slope_shares(slopes, 0)`, (examples, units).
        tau: in [0, 1).

    Examples:
        >>> saturated_units(torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
        tensor([ True, False])
    """
    return _mostly(flat, tau)


def linearised_units(linear: Tensor, tau: float = 0.01) -> Tensor:
    """Return which units pass on their input as it is, on at least 1 - tau of the examples.

    A ReLU that is always on: a "zombie" unit (Lyle et al. 2024, https://arxiv.org/abs/2402.18762).

    Args:
        linear: `slope_shares(slopes, 1)`, (examples, units).
        tau: in [0, 1).

    Examples:
        >>> linearised_units(torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
        tensor([ True, False])
    """
    return _mostly(linear, tau)


def _mostly(shares: Tensor, tau: float) -> Tensor:
    # A little less, as shares such as 0.99 are rounded.
    return shares.double().mean(0) >= 1 - tau - 1e-9


def unit_products(outputs: Tensor) -> Tensor:
    """Return the inner products of units over examples and positions, float64 (units, units).

    Those of several batches add up.

    Args:
        outputs: (examples, units); (examples, tokens, units); (examples, units, height, width).

    Examples:
        >>> unit_products(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        tensor([[1., 2.],
                [2., 5.]], dtype=torch.float64)
    """
    units = outputs.movedim(1, -1) if outputs.ndim == 4 else outputs
    rows = units.reshape(-1, units.shape[-1])
    return (rows.T @ rows).double()


def duplicate_units(products: Tensor, threshold: float = 0.95) -> Tensor:
    """Return which units are like an earlier one of their layer, bool (units,).

    Where the cosine between their outputs, in absolute value, is a threshold or more. What is zero
    throughout is like nothing. (The code of `ajoudaki/loss-of-plasticity`, from which the threshold
    is, takes the cosine with its sign, and counts the earlier one of a pair.)

    Args:
        products: as `unit_products` returns them, (units, units).
        threshold: in (0, 1].

    Examples:
        >>> outputs = torch.tensor([[1.0, 0.0, -2.0], [0.0, 1.0, 0.1]])
        >>> duplicate_units(unit_products(outputs))
        tensor([False, False,  True])
    """
    norms = products.diagonal().sqrt()
    scale = norms[:, None] * norms
    cosines = torch.where(scale > 0, products / scale, 0).abs()
    # A little less, as a cosine of 1 is rounded.
    return (cosines.tril(-1) >= threshold - 1e-6).any(1)
