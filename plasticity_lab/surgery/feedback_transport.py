"""Other weights than a layer's own to carry gradients back through it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

from plasticity_lab.errors import UserError

Carrier = nn.Linear | nn.Conv2d
"""A layer whose transport can be replaced."""


def carriers(network: nn.Module) -> dict[str, Carrier]:
    """Return the linear layers and convolutions (2d) of a network by name.

    Examples:
        >>> list(carriers(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))))
        ['0', '2']
    """
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, Carrier)}


@contextmanager
def feedback_transport(
    layers: Mapping[str, Carrier], feedback: Callable[[str, Tensor], Tensor]
) -> Iterator[None]:
    """Let the forward passes inside make a graph that carries gradients back by other weights.

    Feedback alignment (Lillicrap et al. 2016, https://doi.org/10.1038/ncomms13276): the gradient at
    a layer's input is computed with B in place of the layer's weights W, of the same shape. The
    layer's own gradients follow from what arrives at its output, as ever. Outputs keep their bits.
    Hooks are removed at the end.

    Args:
        layers: by name.
        feedback: from a layer's name and W to B; it must not require gradients.

    Raises:
        UserError: for a convolution whose padding is not a number of zeros, and at the end for a
            layer that was not called, such as those that attention of torch reads the weights of.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
        >>> zeros = lambda name, weight: torch.zeros_like(weight)
        >>> with feedback_transport(carriers(network), zeros):
        ...     outputs = network(torch.ones(5, 3))
        >>> outputs.sum().backward()
        >>> network[0].weight.grad.abs().sum(), network[1].weight.grad.abs().sum() > 0
        (tensor(0.), tensor(True))
    """
    for name, layer in layers.items():
        _check_padding(name, layer)
    called: set[str] = set()
    with ExitStack() as stack:
        for name, layer in layers.items():
            inputs: list[Tensor] = []
            before = layer.register_forward_pre_hook(_detach(inputs), with_kwargs=True)
            after = layer.register_forward_hook(_attach(name, inputs, called, feedback))
            stack.callback(before.remove)
            stack.callback(after.remove)
        yield
    check_called(layers, called)


def check_called(layers: Iterable[str], called: Collection[str]) -> None:
    """Raise UserError for a layer that was to be changed and was never called."""
    for name in layers:
        if name not in called:
            raise UserError(
                "layers",
                value=name,
                problem="the network does not call this layer, so that no hook of it runs",
                fix="name layers that are called",
            )


def _check_padding(name: str, layer: Carrier) -> None:
    if not isinstance(layer, nn.Conv2d):
        return
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UserError(
            "layers",
            value=name,
            problem=f"pads by {layer.padding!r} with {layer.padding_mode}",
            fix="name layers that pad by a number of zeros",
        )


def _detach(inputs: list[Tensor]) -> Callable[[nn.Module, Any, Any], tuple[Any, Any]]:
    def hook(layer: nn.Module, arguments: Any, named: Any) -> tuple[Any, Any]:
        given: Tensor = arguments[0] if arguments else named["input"]
        inputs.append(given)
        return (given.detach(),), {}

    return hook


def _attach(
    name: str,
    inputs: list[Tensor],
    called: set[str],
    feedback: Callable[[str, Tensor], Tensor],
) -> Callable[[Any, Any, Tensor], Tensor]:
    def hook(layer: Carrier, arguments: Any, output: Tensor) -> Tensor:
        called.add(name)
        below = inputs.pop()
        if not below.requires_grad:
            return output
        matrix = feedback(name, layer.weight)
        carried: Tensor = _Transport.apply(output, below, matrix, layer)
        return carried

    return hook


class _Transport(torch.autograd.Function):
    """The identity on a layer's output, whose gradient also reaches its input, by other weights."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, below: Tensor, matrix: Tensor, layer: Carrier) -> Tensor:
        ctx.matrix, ctx.layer, ctx.shape, ctx.dtype = matrix, layer, below.shape, below.dtype
        return output.view_as(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor | None, ...]:
        layer, matrix = ctx.layer, ctx.matrix.to(signal.dtype)
        if isinstance(layer, nn.Linear):
            carried = signal @ matrix
        else:
            geometry = layer.stride, layer.padding, layer.dilation, layer.groups
            carried = conv2d_input(ctx.shape, matrix, signal, *geometry)  # type: ignore[no-untyped-call]
        return signal, carried.to(ctx.dtype), None, None
