"""What optimizers hold for their parameters."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

SCHEDULED_KEYS = ("lr", "momentum", "betas")
"""What schedules write into parameter groups: rates; `OneCycleLR` and `CyclicLR` momentum too."""

_COUNTS = ("step", "step_size", "mu_product")
"""What is no average: counts, Rprop's step sizes, and NAdam's product over all steps."""


def reset_optimizer_state(optimizers: Iterable[Optimizer], parameters: Iterable[Tensor]) -> None:
    """Drop the state of some parameters (moments, step counts), as if they had just been added.

    Args:
        optimizers: whose state is reset; the parameter groups stay as they are.
        parameters: whose state is dropped; those unknown to an optimizer are skipped.

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> optimizer = torch.optim.Adam(network.parameters())
        >>> network(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> reset_optimizer_state([optimizer], [network.weight])
        >>> network.weight in optimizer.state, network.bias in optimizer.state
        (False, True)
    """
    optimizers = list(optimizers)
    for parameter in parameters:
        for optimizer in optimizers:
            state = optimizer.state.pop(parameter, {})
            # Fused SGD wants momentum for all parameters or none. It begins with a momentum of 0,
            # so that dampening acts on its first gradient already.
            if optimizer.defaults.get("fused") and "momentum_buffer" in state:
                optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}


@torch.no_grad()
def clear_moments(optimizer: Optimizer) -> None:
    """Set to where it begins, in place, all that an optimizer holds of a parameter's shape.

    That is 0, and for Adagrad's sums its `initial_accumulator_value`. Step counts stay, so that
    averages that begin at 0 are not corrected for it.

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> optimizer = torch.optim.Adam(network.parameters())
        >>> network(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> clear_moments(optimizer)
        >>> optimizer.state[network.bias]["exp_avg"], optimizer.state[network.bias]["step"]
        (tensor([0.]), tensor(1.))
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if _is_moment(name, value, parameter):
                value.fill_(_beginning(optimizer, name))


@torch.no_grad()
def clear_step_counts(optimizer: Optimizer) -> None:
    """Set to 0, in place, the step counts of an optimizer; moments stay.

    The next step takes them for moments of that step alone (Adam-Rel, Ellis et al. 2024,
    https://arxiv.org/abs/2412.17113).

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> optimizer = torch.optim.Adam(network.parameters())
        >>> network(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> clear_step_counts(optimizer)
        >>> optimizer.state[network.bias]["step"]
        tensor(0.)
    """
    for state in optimizer.state.values():
        _clear_count(state)


@torch.no_grad()
def clear_optimizer_state(
    optimizer: Optimizer, masks: Mapping[nn.Parameter, Tensor], step_counts: bool = False
) -> None:
    """Set what an optimizer holds for single weights to where it begins, in place.

    That is 0, and for Adagrad's sums its `initial_accumulator_value`.
    What it holds in another shape than a parameter's, such as Adam's step count, is for all weights
    of the parameter, and is kept. Counts of single weights (`PerWeightAdam`) are set to 0.

    Args:
        optimizer: whose moments are cleared.
        masks: for each parameter the weights, bool of its shape.
        step_counts: set the step counts of these parameters to 0 nevertheless.

    Examples:
        >>> network = nn.Linear(2, 1, bias=False)
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        >>> network(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> clear_optimizer_state(optimizer, {network.weight: torch.tensor([[True, False]])})
        >>> optimizer.state[network.weight]["momentum_buffer"]
        tensor([[0., 1.]])
    """
    for parameter, mask in masks.items():
        state = optimizer.state.get(parameter, {})
        for name, value in state.items():
            if _is_moment(name, value, parameter) or _counts_weights(name, value, parameter):
                value.masked_fill_(mask.to(value.device), _beginning(optimizer, name))
        if step_counts:
            _clear_count(state)


def _is_moment(name: str, value: Any, parameter: Tensor) -> bool:
    """Whether an optimizer holds an average or a sum for each weight.

    Of a parameter of one value, counts have its shape too.
    """
    return name not in _COUNTS and isinstance(value, Tensor) and value.shape == parameter.shape


def _counts_weights(name: str, value: Any, parameter: Tensor) -> bool:
    """Whether an optimizer counts steps for each weight, as `PerWeightAdam` does."""
    return name == "step" and isinstance(value, Tensor) and value.shape == parameter.shape != ()


def is_count(name: str, value: Tensor) -> bool:
    """Whether an optimizer's value is over all steps, and for all weights of a parameter.

    Examples:
        >>> is_count("step", torch.tensor(3.0)), is_count("exp_avg", torch.tensor(3.0))
        (True, False)
    """
    return name in _COUNTS and value.ndim == 0


def _beginning(optimizer: Optimizer, name: str) -> float:
    """Return what an optimizer holds of a weight before the first step."""
    return float(optimizer.defaults.get("initial_accumulator_value", 0)) if name == "sum" else 0.0


def _clear_count(state: Mapping[str, Any]) -> None:
    if isinstance(state.get("step"), Tensor):
        state["step"].zero_()
    if isinstance(state.get("mu_product"), Tensor):  # of NAdam, over all steps
        state["mu_product"].fill_(1)
