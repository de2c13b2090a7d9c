"""Which layers of a network an intervention acts on, and their values drawn again."""

import copy
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pytorch_lightning import LightningModule
from torch import nn

from errors import UserError
from lightning_modules import ImageClassifier
from randomness import global_stream


def choose(network: nn.Module, last: int | None, layers: Sequence[str] | None) -> dict[str, nn.Module]:
    """Return the layers, by name, that draw their own values (`reset_parameters()`), among those chosen.

    Args:
        network: whose `blocks` names its blocks from bottom to top.
        last: that many blocks from the top.
        layers: or names and patterns of layers, as `layer4*`; a layer's parts belong to it.

    Raises:
        UserError: unless exactly one is given and it chooses something, all of which can draw its own values.
    """
    if (last is None) == (not layers):
        raise UserError("write either last: 3 (blocks from the top) or layers: [names or patterns]")
    names = _blocks(network, last) if last is not None else _matching(network, layers or [])
    return _drawing({name: layer for name, layer in network.named_modules() if any(_part_of(name, whole) for whole in names)})


def every_layer(network: nn.Module) -> dict[str, nn.Module]:
    """Return all layers, by name, that draw their own values; UserError if a parameter belongs to none."""
    return _drawing(dict(network.named_modules()))


def _drawing(layers: dict[str, nn.Module]) -> dict[str, nn.Module]:
    drawn = {name: layer for name, layer in layers.items() if callable(getattr(layer, "reset_parameters", None))}
    if not drawn:
        raise UserError(f"layers: {', '.join(layers)}: have no values to draw; choose layers with parameters")
    for name, layer in layers.items():
        if name not in drawn and next(layer.parameters(recurse=False), None) is not None:
            whose = name or "the network itself"
            raise UserError(f"layers: {whose}: has parameters but no reset_parameters() to draw them; give it one")
    return drawn


def own_parameters(layers: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Return the layers' own parameters by full name; one that layers share stands under its last name, whose draw it has."""
    named = [(f"{name}.{part}", value) for name, layer in layers.items() for part, value in layer.named_parameters(recurse=False)]
    last = {id(value): name for name, value in named}
    return {name: value for name, value in named if last[id(value)] == name}


def check_initial(module: LightningModule, argument: str) -> None:
    """Raise UserError unless a run's initial values can be drawn again: only `ImageClassifier` draws them layer by layer."""
    if not isinstance(module, ImageClassifier):
        raise UserError(f"{argument}: {type(module).__name__} draws its initial values itself; use ImageClassifier, or fresh draws")


def _blocks(network: nn.Module, last: int) -> list[str]:
    blocks: Any = getattr(network, "blocks", None)
    if not blocks:
        raise UserError(f"last: {last}: {type(network).__name__} does not list its blocks; use layers: [names or patterns]")
    if not 1 <= last <= len(blocks):
        raise UserError(f"last: {last}: {type(network).__name__} has {len(blocks)} blocks ({', '.join(blocks)})")
    return list(blocks[-last:])


def _matching(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    known = [name for name, _ in network.named_modules()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            top = ", ".join(name for name in known if name and "." not in name)
            raise UserError(f"layers: {pattern}: matches nothing; there are {top} and their parts")
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _part_of(name: str, whole: str) -> bool:
    return name == whole or name.startswith(f"{whole}.")


def redrawn(layer: nn.Module, seed: int, purpose: str, *counters: int | str) -> nn.Module:
    """Return a copy of a layer with its own values drawn again, on the CPU, from a stream of their own.

    Normalisation statistics of the copy are those of a new layer. Keyed by (seed, "init", name) these are a run's initial values.
    """
    fresh = copy.deepcopy(layer).cpu()
    with global_stream(seed, purpose, *counters):
        reset: Any = fresh.reset_parameters
        reset()
    return fresh


def copy_buffers(layer: nn.Module, fresh: nn.Module) -> None:
    """Copy the normalisation statistics (buffers) of one layer from another, in place."""
    for mine, new in zip(layer.buffers(recurse=False), fresh.buffers(recurse=False), strict=True):
        mine.copy_(new)
