"""What the layers of a network make of images."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.parameter_groups import block_names

CHUNK = 250
"""Images that pass through the network at once."""


def last_layer(network: nn.Module) -> str:
    """Return the name of the layer that maps the last hidden features to the outputs.

    It is the last block that the network lists, or else its last linear layer. Of a block that is a
    sequence it is the last part with a matrix or kernels.

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
    return _last_part(str(names[-1]), network.get_submodule(names[-1]))


def _last_part(name: str, layer: nn.Module) -> str:
    """Return the name of the last part of a sequence, of sequences in it too, that has weights."""
    if not isinstance(layer, nn.Sequential):
        return name
    for part, child in reversed(list(layer.named_children())):
        if any(parameter.ndim > 1 for parameter in child.parameters()):
            return _last_part(f"{name}.{part}", child)
    return name


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
    rows = []
    with record_last_features(network) as features:
        for part in torch.split(images, CHUNK):
            network(part)
            rows.append(features[-1])
            features.clear()
    return torch.cat(rows)


@contextmanager
def record_last_features(network: nn.Module) -> Iterator[list[Tensor]]:
    """Append the last hidden features of each forward pass to the list that it yields.

    As `last_features` returns them, with their graph.

    Args:
        network: not compiled.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> with record_last_features(network) as features:
        ...     _ = network(torch.ones(5, 3))
        >>> features[0].shape, features[0].requires_grad
        (torch.Size([5, 4]), True)
    """
    features: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features.append(
            inputs[0].mean((2, 3)) if inputs[0].ndim == 4 else inputs[0].flatten(1).clone()
        )

    with hooks(network.get_submodule(last_layer(network)).register_forward_pre_hook(keep)):
        yield features


def mean_squared_norm(features: Tensor) -> Tensor:
    """Return the mean over examples of |h|^2, a scalar.

    Args:
        features: (examples, features).

    Examples:
        >>> mean_squared_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        tensor(13.)
    """
    return features.square().sum(1).mean()


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
    with hooks(
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


@contextmanager
def hooks(*handles: Any) -> Iterator[None]:
    """Remove hooks at the end."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield
