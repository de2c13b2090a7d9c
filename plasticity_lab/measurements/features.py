"""What the layers of a network make of images."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.parameter_groups import block_names

Output = TypeVar("Output")

CHUNK = 250
"""Images that pass through the network at once."""

RELUS = {F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
"""What counts as a rectifier: `nn.ReLU` calls the first."""

BEFORE = "input"
"""Stands for the block of what is rectified before any block."""


def last_layer(network: nn.Module) -> str:
    """Return the name of the layer that maps the last hidden features to the outputs.

    It is the last block that the network lists, or else its last linear layer.

    Raises:
        UserError: if there is neither.
    """
    listed = list(getattr(network, "blocks", None) or [])
    linear = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not (names := listed or linear):
        raise UserError(
            type(network).__name__,
            problem="has no linear layer",
            fix="list its parts, bottom to top, in an attribute blocks",
        )
    return str(names[-1])


@torch.no_grad()
def last_features(network: nn.Module, images: Tensor) -> Tensor:
    """Return the last hidden features, what the last layer is given: (examples, features).

    Maps (examples, channels, height, width) are averaged over positions, with which a last 1x1
    convolution commutes.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width).

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> last_features(network, torch.ones(5, 3)).shape
        torch.Size([5, 4])
    """
    layer = network.get_submodule(last_layer(network))
    features: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features.append(
            inputs[0].mean((2, 3)) if inputs[0].ndim == 4 else inputs[0].flatten(1).clone()
        )

    rows = []
    with _hooks(layer.register_forward_pre_hook(keep)):
        for part in torch.split(images, CHUNK):
            network(part)
            rows.append(features[-1])
            features.clear()
    return torch.cat(rows)


def check_last_layer(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if inputs have no last hidden features."""
    try:
        last_features(network, inputs)
    except IndexError:
        problem = f"layer '{last_layer(network)}' is never called in forward()"
        fix = "set `blocks` of the network to its layers in order, the head last"
        raise UserError(type(network).__name__, problem=problem, fix=fix) from None


@torch.no_grad()
def block_outputs(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the outputs of the blocks, bottom to top, each (examples, units).

    Every position is a unit. Arguments as `last_features`.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> outputs = block_outputs(network, torch.ones(5, 3))
        >>> {name: tuple(output.shape) for name, output in outputs.items()}
        {'0': (5, 4), '1': (5, 4), '2': (5, 2)}
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                raise UserError(
                    f"block {name}",
                    problem=f"answers a {kind}, not one tensor",
                    fix="list in `blocks` of the network parts that do",
                )
            outputs[name] = output.flatten(1).clone()

        return hook

    rows = []
    with _hooks(
        *(
            network.get_submodule(name).register_forward_hook(keep(name))
            for name in block_names(network)
        )
    ):
        for part in torch.split(images, CHUNK):
            network(part)
            rows.append(dict(outputs))
            outputs.clear()
    return {name: torch.cat([part[name] for part in rows]) for name in rows[0]}


def check_blocks(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if a block of the network does not return one tensor."""
    block_outputs(network, inputs)


def rectified(
    network: nn.Module, images: Tensor, take: Callable[[int, Tensor], Tensor]
) -> dict[str, list[Tensor]]:
    """Return `take` of the output of every ReLU of the network, by block, in order.

    A ReLU may be a module or a function.

    A ReLU belongs to the block that runs, or that ran last before it. Only rectifiers count: no
    other activation, no `clamp`.

    Args:
        network: in evaluation mode.
        images: (examples, channels, height, width).
        take: from the ReLU's number and its output, examples first, to a new tensor with as many
            rows.

    Returns:
        for each block a list of (examples, …), one for each of its ReLUs; nothing if there is none.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> active = rectified(network, torch.ones(5, 3), lambda number, output: output > 0)
        >>> {block: [tuple(one.shape) for one in outputs] for block, outputs in active.items()}
        {'1': [(5, 4)]}
    """
    return by_block(
        recorded(network, images, RELUS, lambda number, call: take(number, call.output))
    )


@torch.no_grad()
def recorded(
    network: nn.Module,
    images: Tensor,
    functions: Collection[Any],
    take: Callable[[int, "Call"], Tensor],
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
    with _hooks(
        *(
            network.get_submodule(name).register_forward_pre_hook(enter(name))
            for name in block_names(network)
        )
    ):
        for part in torch.split(images, CHUNK):
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


def check_rectified(network: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if no ReLU acts on inputs."""
    if not rectified(network, inputs, lambda number, output: output.flatten(1)):
        raise UserError("network", problem="has no ReLU, whose units it looks at", fix="remove it")


class Call(NamedTuple):
    """A call of a function of one tensor.

    Attributes:
        function: what was called.
        args: its arguments, copies of what they were before it.
        kwargs: named ones.
        output: what it returned.
    """

    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor


class _Recorder(TorchFunctionMode):
    """Shows each call of some functions to a function."""

    def __init__(self, functions: Collection[Any], record: Callable[[Call], None]) -> None:
        super().__init__()
        self.functions, self.record = functions, record

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func not in self.functions:
            return func(*args, **named)
        # Some work in place.
        before = [part.clone() if isinstance(part, Tensor) else part for part in args]
        result = func(*args, **named)
        self.record(Call(func, tuple(before), named, result))
        return result


@contextmanager
def _hooks(*handles: Any) -> Iterator[None]:
    """Remove hooks at the end."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield
