"""Deep linear networks whose modes learn independently, in closed form and by their equations."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from plasticity_lab.errors import UserError

Gates = Callable[[float], Sequence[float]]
"""From a time to a factor on the learning of each pathway: 1 learns, 0 is frozen."""


def two_layer_mode(strength: float, start: float, times: Tensor) -> Tensor:
    """Return what a mode of two layers has learned after gradient flow: a sigmoid.

    Saxe et al. 2014, https://arxiv.org/abs/1312.6120: for the loss 1/2 |S - W2 W1|^2 with white
    inputs, and balanced layers aligned with the singular vectors of S, the product a of the two
    layers' singular values obeys da/dt = 2 a (s - a).

    Args:
        strength: s, the singular value of the task, above 0.
        start: a at time 0, in (0, s].
        times: of any shape, in steps times the learning rate.

    Returns:
        a(t) = s / (1 + (s / a(0) - 1) exp(-2 s t)), as `times`.

    Examples:
        >>> two_layer_mode(2.0, 1.0, torch.tensor([0.0, 100.0]))
        tensor([1., 2.])
    """
    return strength / (1 + (strength / start - 1) * torch.exp(-2 * strength * times))


def path_modes(
    strength: float,
    starts: Sequence[float],
    depth: int,
    time: float,
    step: float,
    gates: Gates | None = None,
) -> Tensor:
    """Return how parallel pathways share a mode: the gradient flow of their singular values.

    Kleinman, Achille & Soatto 2024, https://arxiv.org/abs/2308.12221. Each of the `depth` layers of
    pathway k has singular value p_k for the mode; the pathways' outputs add up, so that
    dp_k/dt = g_k(t) p_k^(depth - 1) (s - sum of p_j^depth). Integrated in float64 by the
    Runge-Kutta rule of fourth order. Without gates, p_a^(2 - depth) - p_b^(2 - depth) is conserved
    (of depth 2 log p_a - log p_b), so that the pathway that is ahead stays so, and wins more of the
    mode the deeper the pathways are.

    Args:
        strength: s, the singular value of the task.
        starts: p of each pathway at time 0, 0 or more.
        depth: layers of each pathway, 1 or more.
        time: until when, in steps of gradient descent times their learning rate.
        step: of the integration; switches of the gates should be multiples of it.
        gates: factor on the learning of each pathway at a time; None is 1 throughout. A pathway at
            0 is frozen, and still adds to the output.

    Returns:
        float64 (steps + 1, pathways), p at times 0, step, 2 step, ….

    Raises:
        UserError: for a depth below 1, or a step that is not above 0.

    Examples:
        >>> path_modes(1.0, [0.1, 0.1], 2, 20.0, 0.1)[-1].square()
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    if depth < 1:
        raise UserError("depth", value=depth, fix="set 1 or more layers")
    if not step > 0:
        raise UserError("step", value=step, fix="set a number above 0")

    def slope(values: Tensor, factors: Tensor) -> Tensor:
        return factors * values.pow(depth - 1) * (strength - values.pow(depth).sum())

    values = torch.tensor(list(starts), dtype=torch.float64)
    path = [values]
    for number in range(math.ceil(time / step - 1e-9)):
        # Gates are constant over a step, read in its middle.
        open_ = gates((number + 0.5) * step) if gates else [1.0] * len(values)
        factors = torch.tensor(list(open_), dtype=torch.float64)
        first = slope(values, factors)
        second = slope(values + step / 2 * first, factors)
        third = slope(values + step / 2 * second, factors)
        fourth = slope(values + step * third, factors)
        values = values + step / 6 * (first + 2 * second + 2 * third + fourth)
        path.append(values)
    return torch.stack(path)
