"""Copies of a network that share nothing with it: as it is, or with fresh weights."""

import copy
from collections.abc import Collection, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from plasticity_lab.surgery.construction import Network, full_name, held
from plasticity_lab.surgery.initialisation import Key, redraw
from plasticity_lab.surgery.layer_selection import layers_with_state


def copy_network(
    network: Network, replaced: Mapping[nn.Module, nn.Module] = MappingProxyType({})
) -> Network:
    """Return a copy of a network, with parameters and buffers of its own and without gradients.

    Weights that layers compute from others (`weight_norm`, `prune`) are copied as values.

    Args:
        network: any module.
        replaced: for parts of it, what stands in their places in the copy.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> twin = copy_network(network)
        >>> twin.weight is network.weight, torch.equal(twin.weight, network.weight)
        (False, True)
    """
    computed = [
        value
        for layer in network.modules()
        for value in vars(layer).values()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    memo: dict[int, object] = {id(value): value.detach().clone() for value in computed}
    memo |= {id(part): other for part, other in replaced.items()}
    return copy.deepcopy(network, memo)


@torch.no_grad()
def fresh_copy(
    network: Network,
    key: Key,
    holder: nn.Module | None = None,
    frozen_norms: Collection[str] = (),
) -> Network:
    """Return a copy of a network with fresh parameters and buffers.

    Parameters that are frozen stay as they are, and so do the statistics of frozen batch norm.

    Args:
        network: as `construct` builds it; on any device.
        key: from a layer's name to the keys of its draws, as `redraw` takes it.
        holder: what holds it as `network`, where that is what `construct` has built.
        frozen_norms: names of batch-norm layers that keep their statistics.

    Raises:
        UserError: by name, for a layer that cannot be drawn again.

    Examples:
        >>> network = construct(nn.Linear, 3, 2)
        >>> init_parameters(network, seed=0)
        >>> fresh = fresh_copy(network, key=lambda name: (1, "init", name))
        >>> torch.equal(fresh.weight, network.weight)
        False
    """
    fresh = copy_network(network)
    values = redraw(network, layers_with_state(network), key, holder)
    for layer_name, layer in fresh.named_modules():
        for part, tensor in held(layer).items():
            if isinstance(tensor, nn.Parameter):
                frozen = not tensor.requires_grad
            else:
                frozen = layer_name in frozen_norms
            if not frozen:
                tensor.copy_(values[full_name(layer_name, part)])
    return fresh
