"""The state of layers and of what optimizers hold for them, copied and restored."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from plasticity_lab.surgery.layer_selection import is_flag
from plasticity_lab.surgery.optimizer_state import SCHEDULED_KEYS, is_count, reset_optimizer_state

Layers = Mapping[str, nn.Module]
Snapshot = dict[str, Any]
"""Tensors, optimizer state, rates and schedules, as plain values that `torch.save` takes."""


def snapshot(
    layers: Layers, optimizers: Sequence[Optimizer] = (), schedulers: Sequence[LRScheduler] = ()
) -> Snapshot:
    """Copy the state of layers to the CPU, with optimizer state, rates and schedules.

    With `restore` this is late rewinding (Frankle et al. 2020, https://arxiv.org/abs/1912.05671).

    Args:
        layers: by name; each stands for what it holds itself, its parts apart.
        optimizers: whose state and rates are copied.
        schedulers: whose clocks are copied.

    Examples:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        >>> layers = dict(network.named_modules())
        >>> early = snapshot(layers, [optimizer])
        >>> before = network[0].weight.clone()
        >>> network(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> restore(early, layers, [optimizer], optimizer_state=True)
        >>> torch.equal(network[0].weight, before)
        True
    """
    memory = {
        name: [_moved(optimizer.state.get(parameter, {}), "cpu", "cpu") for optimizer in optimizers]
        for name, parameter in _parameters(layers).items()
    }
    rates = [[_scheduled(group) for group in optimizer.param_groups] for optimizer in optimizers]
    return {
        "tensors": {
            name: tensor.detach().cpu().clone() for name, tensor in _tensors(layers).items()
        },
        "memory": memory,
        "rates": rates,
        "schedules": [copy.deepcopy(scheduler.state_dict()) for scheduler in schedulers],
    }


@torch.no_grad()
def restore(
    saved_state: Snapshot,
    layers: Layers,
    optimizers: Sequence[Optimizer] = (),
    schedulers: Sequence[LRScheduler] = (),
    optimizer_state: bool = False,
    learning_rate: bool = False,
) -> None:
    """Copy a snapshot back, in place.

    Args:
        saved_state: what `snapshot` returned for the same layers, optimizers and schedulers.
        layers: by name.
        optimizers: whose state of the layers' parameters is restored.
        schedulers: whose clocks are restored with the rates.
        optimizer_state: restore the optimizer state too; otherwise it stays as it is.
        learning_rate: restore rates and schedules too; otherwise they stay as they are.

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> kept = snapshot({"": network})
        >>> with torch.no_grad():
        ...     _ = network.weight.zero_()
        >>> restore(kept, {"": network})
        >>> bool(network.weight.any())
        True
    """
    for name, tensor in _tensors(layers).items():
        tensor.copy_(saved_state["tensors"][name])
    if optimizer_state:
        for name, parameter in _parameters(layers).items():
            for optimizer, memory in zip(optimizers, saved_state["memory"][name], strict=True):
                _restore_memory(optimizer, parameter, memory)
    if learning_rate:
        for optimizer, rates in zip(optimizers, saved_state["rates"], strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group.update(copy.deepcopy(rate))
        for scheduler, state in zip(schedulers, saved_state["schedules"], strict=True):
            scheduler.load_state_dict(copy.deepcopy(state))


def _restore_memory(optimizer: Optimizer, parameter: Tensor, memory: Mapping[str, Any]) -> None:
    reset_optimizer_state([optimizer], [parameter])
    if not memory:
        return
    # Counts are scalars, which optimizers keep on the CPU unless they are fused.
    on_device = optimizer.defaults.get("fused") or optimizer.defaults.get("capturable")
    counts = parameter.device if on_device else "cpu"
    optimizer.state[parameter] = _moved(memory, parameter.device, counts)


def _moved(
    memory: Mapping[str, Any], device: torch.device | str, counts: torch.device | str
) -> dict[str, Any]:
    """Copy optimizer state to a device, and counts of all steps to another."""
    return {
        key: value.to(counts if is_count(key, value) else device, copy=True)
        if isinstance(value, Tensor)
        else copy.deepcopy(value)
        for key, value in memory.items()
    }


def _scheduled(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: copy.deepcopy(group[key]) for key in SCHEDULED_KEYS if key in group}


def _parameters(layers: Layers) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": value
        for name, layer in layers.items()
        for part, value in layer.named_parameters(recurse=False)
    }


def _tensors(layers: Layers) -> dict[str, Tensor]:
    buffers = {
        f"{name}.{part}": value
        for name, layer in layers.items()
        for part, value in layer.named_buffers(recurse=False)
        if not is_flag(value)
    }
    return {**_parameters(layers), **buffers}
