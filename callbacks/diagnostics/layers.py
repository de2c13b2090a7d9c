"""Parameters of a network by block."""

from collections.abc import Iterable
from typing import Any

from torch import nn


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; frozen ones are no part of what is measured."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def blocks_of(network: nn.Module) -> list[str]:
    """Return the names of the blocks that a network lists, or else of its direct parts."""
    return list(getattr(network, "blocks", None) or [name for name, _ in network.named_children()])


def by_block(module: nn.Module, names: Iterable[str]) -> dict[str, list[str]]:
    """Group names of parameters by the blocks that the network lists, or by its direct parts; one of none is its own block.

    Args:
        module: a network, or what holds one as `network`.
        names: of its parameters.
    """
    network: Any = getattr(module, "network", module)
    start = "network." if network is not module else ""
    blocks = blocks_of(network)
    groups: dict[str, list[str]] = {}
    for name in names:
        inner = name.removeprefix(start)
        block = next((one for one in blocks if inner.startswith(f"{one}.")), inner)
        groups.setdefault(block, []).append(name)
    return groups
