"""Parameters of a network by block."""

from collections.abc import Iterable

from torch import nn


def trained_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; frozen ones are no part of what is measured.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> _ = network.bias.requires_grad_(False)
        >>> list(trained_parameters(network))
        ['weight']
    """
    return {name: value for name, value in network.named_parameters() if value.requires_grad}


def block_names(network: nn.Module) -> list[str]:
    """Return the names of the blocks that a network lists, or else of its direct parts.

    Examples:
        >>> block_names(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))
        ['0', '1']
    """
    return list(getattr(network, "blocks", None) or [name for name, _ in network.named_children()])


def group_by_block(network: nn.Module, names: Iterable[str]) -> dict[str, list[str]]:
    """Group names of parameters by the blocks that the network lists, or by its direct parts.

    A parameter of none of them is a block of its own.

    Args:
        network: whose `blocks` may name its blocks from bottom to top.
        names: of its parameters.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> group_by_block(network, dict(network.named_parameters()))
        {'0': ['0.weight', '0.bias'], '2': ['2.weight', '2.bias']}
    """
    blocks = block_names(network)
    groups: dict[str, list[str]] = {}
    for name in names:
        block = next((block for block in blocks if name.startswith(f"{block}.")), name)
        groups.setdefault(block, []).append(name)
    return groups
