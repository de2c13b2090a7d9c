"""Which layers of a network an operation acts on."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import full_name, held

NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
"""Layers that normalise, whose parameters are gains and biases."""


def select_layers(
    network: nn.Module, last: int | None = None, layers: Sequence[str] | None = None
) -> dict[str, nn.Module]:
    """Return the layers, by name, that hold parameters or buffers, among those chosen.

    Args:
        network: whose `blocks` names its blocks from bottom to top.
        last: that many blocks from the top.
        layers: or names and patterns of layers, as `layer4*`; a layer's parts belong to it.

    Raises:
        UserError: unless exactly one is given and it chooses something with parameters.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> list(select_layers(network, layers=["2*"]))
        ['2']
    """
    if (last is None) == (not layers):
        raise UserError(
            "last, layers",
            fix="set either last: 3 (blocks from the top) or layers: [names or patterns]",
        )
    names = _blocks(network, last) if last is not None else matching(network, layers or [])
    chosen = {
        name: layer
        for name, layer in network.named_modules()
        if any(part_of(name, selected) for selected in names)
    }
    holding = {name: layer for name, layer in chosen.items() if held(layer)}
    if not own_parameters(holding):
        raise UserError(
            "layers",
            value=", ".join(chosen),
            problem="have no values to draw",
            fix="choose layers with parameters",
        )
    return holding


def layers_with_state(network: nn.Module) -> dict[str, nn.Module]:
    """Return all layers, by name, that hold parameters or buffers.

    Examples:
        >>> list(layers_with_state(nn.Sequential(nn.Linear(3, 2), nn.ReLU())))
        ['0']
    """
    return {name: layer for name, layer in network.named_modules() if held(layer)}


def own_parameters(layers: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Return the layers' own parameters by full name, shared ones under their last name.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> list(own_parameters({"0": network[0]}))
        ['0.weight', '0.bias']
    """
    parameters = [
        (full_name(name, part), value)
        for name, layer in layers.items()
        for part, value in layer.named_parameters(recurse=False)
    ]
    last = {id(value): name for name, value in parameters}
    return {name: value for name, value in parameters if last[id(value)] == name}


def _blocks(network: nn.Module, last: int) -> list[str]:
    blocks: Any = getattr(network, "blocks", None)
    if not blocks:
        raise UserError(
            "last",
            value=last,
            problem=f"{type(network).__name__} does not list its blocks",
            fix="use layers: [names or patterns]",
        )
    if not 1 <= last <= len(blocks):
        raise UserError(
            "last",
            value=last,
            problem=f"{type(network).__name__} has {len(blocks)} blocks ({', '.join(blocks)})",
        )
    return list(blocks[-last:])


def matching(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Return the names that match patterns; UserError for a pattern that matches none."""
    names = [name for name, _ in network.named_modules()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            top = ", ".join(name for name in names if name and "." not in name)
            raise UserError(
                "layers",
                value=pattern,
                problem="matches nothing",
                fix=f"there are {top} and their parts",
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def outermost(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Return the names that match patterns, without parts of others; UserError as `matching`.

    Examples:
        >>> outermost(nn.Sequential(nn.Sequential(nn.Linear(3, 2))), ["0*"])
        ['0']
    """
    names: list[str] = []
    for name in matching(network, patterns):
        # A layer's parts follow it; the network itself is none.
        if name and not (names and part_of(name, names[-1])):
            names.append(name)
    return names


def part_of(name: str, prefix: str) -> bool:
    """Whether a layer is another one or lies in it, by their names."""
    return name == prefix or name.startswith(f"{prefix}.")


def copy_buffers(
    layers: Mapping[str, nn.Module],
    fresh: Mapping[str, Tensor],
    norm_statistics: bool,
    other_buffers: bool,
) -> None:
    """Copy new values into the buffers of layers, in place.

    Args:
        layers: by name.
        fresh: new values by full name.
        norm_statistics: whether to copy the running statistics of normalisation layers.
        other_buffers: whether to copy all others, such as the vectors of spectral norm, which
            belong to the parameters.
    """
    for name, layer in layers.items():
        if norm_statistics if isinstance(layer, nn.modules.batchnorm._NormBase) else other_buffers:
            for part, buffer in layer.named_buffers(recurse=False):
                if not is_flag(buffer):
                    buffer.copy_(fresh[full_name(name, part)])


def is_flag(buffer: Tensor) -> bool:
    """Whether a buffer says how a layer is used, not what it has learned; such stay as they are.

    That an `InjectableHead` has been injected is one: what is trained of it depends on it.
    """
    return buffer.dtype == torch.bool
