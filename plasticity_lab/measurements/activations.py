"""What the activations of a network, modules or functions, make of images."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from plasticity_lab.errors import UserError
from plasticity_lab.measurements import features
from plasticity_lab.measurements.parameter_groups import block_names
from plasticity_lab.surgery.activation_functions import (
    ACTIVATIONS,
    OF_FEATURES,
    OF_MAPS,
    RELUS,
    unit_dim,
)

BEFORE = "input"
"""Stands for the block of what is activated before any block."""

Take = Callable[[int, Tensor], Tensor]
Output = TypeVar("Output")


def activated(network: nn.Module, images: Tensor, take: Take) -> dict[str, list[Tensor]]:
    """Return `take` of the output of every activation of the network, by block, in order.

    As `rectified`, of all activations of hidden units: ReLU and its kin, GELU, SiLU, tanh and
    others. Sigmoids, which are gates, and the softmax of attention are none.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))
        >>> sizes = activated(network, torch.ones(5, 3), lambda number, output: output.abs())
        >>> {block: [tuple(one.shape) for one in outputs] for block, outputs in sizes.items()}
        {'1': [(5, 4)]}
    """
    return by_block(
        recorded(network, images, ACTIVATIONS, lambda number, call: take(number, call.units))
    )


def rectified(network: nn.Module, images: Tensor, take: Take) -> dict[str, list[Tensor]]:
    """Return `take` of the output of every ReLU of the network, by block, in order.

    A ReLU may be a module or a function.

    A ReLU belongs to the block that runs, or that ran last before it. Only rectifiers count: no
    other activation, no `clamp`.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width).
        take: from the ReLU's number and its output to a new tensor with as many rows. The output is
            (examples, units), (examples, tokens, units) or (examples, units, height, width), also
            where the network stores maps with their units last.

    Returns:
        for each block a list of (examples, …), one for each of its ReLUs; nothing if there is none.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> active = rectified(network, torch.ones(5, 3), lambda number, output: output > 0)
        >>> {block: [tuple(one.shape) for one in outputs] for block, outputs in active.items()}
        {'1': [(5, 4)]}
    """
    return by_block(recorded(network, images, RELUS, lambda number, call: take(number, call.units)))


def check_activated(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if no activation of hidden units acts on inputs."""
    if not activated(network, inputs, lambda number, output: output.flatten(1)):
        problem = "has no activation (ReLU, GELU, tanh …), whose units it looks at"
        raise UserError("network", problem=problem, fix="remove it")


def check_rectified(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if no ReLU acts on inputs."""
    if not rectified(network, inputs, lambda number, output: output.flatten(1)):
        raise UserError("network", problem="has no ReLU, whose units it looks at", fix="remove it")


@dataclass(frozen=True)
class Call:
    """A call of an activation function.

    Attributes:
        function: what was called.
        args: its arguments, copies of what they were before it.
        kwargs: named ones.
        output: what it returned.
        of_maps: whether it was given maps of a convolution; None if that is not known.
    """

    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor
    of_maps: bool | None

    @property
    def units(self) -> Tensor:
        """The output with its units where they are by convention; see `arranged`."""
        return self.arranged(self.output)

    def arranged(self, values: Tensor) -> Tensor:
        """Return values of the output's shape with units second in maps, last in tokens."""
        if values.ndim not in (3, 4):
            return values
        by_convention = unit_dim(values.ndim, None)
        return values.movedim(unit_dim(values.ndim, self.of_maps), by_convention)


@torch.no_grad()
def recorded(
    network: nn.Module,
    images: Tensor,
    functions: Collection[Any],
    take: Callable[[int, Call], Tensor],
) -> list[tuple[str, Tensor]]:
    """Return `take` of every call of some functions in a network, in order, each with its block.

    Args:
        network: in evaluation mode.
        images: as `rectified` takes them.
        functions: as torch calls them.
        take: from the number of a call and the call, to a new tensor with a row for each image.
    """
    outputs: list[tuple[str, Tensor]] = []
    blocks = [BEFORE]

    def enter(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(layer: nn.Module, inputs: Any) -> None:
            blocks.append(name)

        return hook

    rows: list[Sequence[tuple[str, Tensor]]] = []
    recorder = _Recorder(
        functions, lambda call: outputs.append((blocks[-1], take(len(outputs), call)))
    )
    with features.hooks(
        *(
            network.get_submodule(name).register_forward_pre_hook(enter(name))
            for name in block_names(network)
        )
    ):
        for part in torch.split(images, features.CHUNK):
            with recorder:
                network(part)
            rows.append(tuple(outputs))
            outputs.clear()
    return [
        (parts[0][0], torch.cat([part for _, part in parts])) for parts in zip(*rows, strict=True)
    ]


def by_block(outputs: Iterable[tuple[str, Output]]) -> dict[str, list[Output]]:
    """Group what has been recorded by block."""
    blocks: dict[str, list[Output]] = {}
    for block, output in outputs:
        blocks.setdefault(block, []).append(output)
    return blocks


class _Recorder(TorchFunctionMode):
    """Shows each call of some functions to a function."""

    def __init__(self, functions: Collection[Any], record: Callable[[Call], None]) -> None:
        super().__init__()
        self.functions, self.record = functions, record
        self._of_maps: bool | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in OF_FEATURES or func in OF_MAPS:
            self._of_maps = func in OF_MAPS
        if func not in self.functions:
            return func(*args, **named)
        # Some work in place.
        before = [part.clone() if isinstance(part, Tensor) else part for part in args]
        result = func(*args, **named)
        self.record(Call(func, tuple(before), named, result, self._of_maps))
        return result
