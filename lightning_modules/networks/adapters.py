"""What networks within others need: names, one-line refusals, and names of their blocks."""

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

from torch import nn

from lightning_modules.networks.layers import ImageSize
from plasticity_lab.class_options import read_options
from plasticity_lab.errors import UserError

_CONTAINERS = ("features", "encoder", "layers", "blocks", "trunk_output", "stages")
"""What libraries call parts that hold a network's blocks."""


def check_name(name: str, names: Collection[str], library: str) -> None:
    """Refuse a network that a library has not, with the nearest that it has."""
    if name not in names:
        near = ", ".join(get_close_matches(name, names, 3, 0)) or "resnet18"
        raise UserError(
            "name",
            value=name,
            problem=f"{library} has no such network",
            fix=f"the nearest are {near}",
        )


def build(
    builder: Callable[..., nn.Module],
    name: str,
    arguments: Mapping[str, Any],
    options: Mapping[str, Any] | None,
    image_size: ImageSize,
) -> nn.Module:
    """Return what a builder makes of arguments and options, the latter of which count first.

    Raises:
        UserError: in one line, for whatever it raises.
    """
    try:
        return builder(**{**arguments, **(options or {})})
    except Exception as error:
        # Some explain themselves in several lines.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{name}: options", f"{options}, image size {image_size}", reason
        ) from error


def build_inner(
    kind: type[nn.Module],
    options: Mapping[str, Any] | None,
    in_channels: int,
    num_classes: int,
    image_size: ImageSize,
) -> nn.Module:
    """Return a network that another one wraps, with the sizes of the data that it asks for.

    Args:
        kind: its class.
        options: its other arguments.
        in_channels: image channels.
        num_classes: classes.
        image_size: height and width of the images, one number for squares.

    Raises:
        UserError: in one line, if it cannot be built so, or for options that are sizes or of
            another type.
    """
    sizes = {"in_channels": in_channels, "num_classes": num_classes, "image_size": image_size}
    accepted = signature(kind).parameters
    arguments = {name: value for name, value in sizes.items() if name in accepted}
    others = read_options(kind, options, taken=arguments)
    return build(kind, kind.__name__, arguments, others, image_size)


def block_paths(
    start: str, part: nn.Module, containers: Collection[nn.Module] = ()
) -> Iterator[str]:
    """Yield the names of a network's blocks, bottom to top.

    Args:
        start: its own name.
        part: the network.
        containers: parts that hold blocks, besides those with a container's name.
    """
    for name, child in part.named_children():
        if name in _CONTAINERS or any(child is container for container in containers):
            yield from block_paths(f"{start}.{name}", child, containers)
        elif next(child.parameters(), None) is not None:
            yield f"{start}.{name}"
