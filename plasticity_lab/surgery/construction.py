"""Networks that can be built again, to draw their initial values from another stream."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from plasticity_lab.surgery.preserve_buffers import preserve_buffers

Network = TypeVar("Network", bound=nn.Module)
Shape = tuple[int, ...]
"""Of an image: channels, height, width."""

_RESET = "reset_parameters"
_WAS_RESET = "_was_reset_in_construction"
_Drawn = dict[int, tuple[nn.Module, dict[str, Tensor]]]
"""By id: a layer, and what it held after it was last reset."""


@dataclass(frozen=True, eq=False)
class Construction:
    """How a network was built, which is the rule that draws its initial values.

    Attributes:
        kind: its class.
        args: positional arguments of its constructor.
        kwargs: keyword arguments of its constructor.
        plain: whether each layer holds what its own `reset_parameters()` drew; otherwise the
            constructor (of the network or of a part of it) has set values itself.
        shapes: of its parameters and buffers, by name.
        image_shape: what lazy layers took their sizes from.
        scheme: the initialisation, as `schemes` names it.
    """

    kind: type[nn.Module]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    plain: bool = False
    shapes: Mapping[str, torch.Size] = field(default_factory=dict)
    image_shape: Shape | None = None
    scheme: str = "own"

    def __deepcopy__(self, memo: Any) -> "Construction":
        """Return itself: a copy of a network is built alike."""
        return self

    @staticmethod
    def of(network: nn.Module) -> "Construction | None":
        """Return how a network was built; None if that is not known."""
        return cast("Construction | None", vars(network).get("_construction"))

    def belongs_to(self, network: nn.Module) -> None:
        """Let `of` find it."""
        vars(network)["_construction"] = self

    def make(self, call: Callable[..., nn.Module] | None = None) -> nn.Module:
        """Build the network again; what it draws comes from the global stream.

        Args:
            call: what builds it in place of its class.
        """
        with _recording() as drawn:
            args, kwargs = _rebuilt(self.args), _rebuilt(self.kwargs)
            network = (call or self.kind)(*args, **kwargs)
            if self.image_shape is not None:
                run_blank(network, self.image_shape)
            # A network that is an argument has been built already, and keeps what its own
            # constructor set.
            _reset_the_rest(network, except_for=[args, kwargs])
        for layer in network.modules():
            vars(layer).pop(_WAS_RESET, None)
        shapes = {
            name: tensor.shape
            for name, tensor in tensors_of(network).items()
            if not is_lazy(tensor)
        }
        replace(self, plain=_is_plain(network, drawn), shapes=shapes).belongs_to(network)
        return network


def construct(kind: type[Network], /, *args: Any, **kwargs: Any) -> Network:
    """Build a network such that its initial values can be drawn again, under any key.

    The command line builds networks in this way. `ImageClassifier` then starts from initial values
    drawn under the run's seed, and resets draw layers by the rule that drew them first. An instance
    made otherwise is trained from the values that it holds, and its layers cannot be drawn again.

    A part with a `reset_parameters()` that no constructor has called is reset once the network is
    built, children before their parents: what a network's own `reset_parameters()` sets counts.

    Args:
        kind: the network's class.
        *args: arguments of its constructor.
        **kwargs: arguments of its constructor.

    Examples:
        >>> network = construct(nn.Linear, 3, 2)
        >>> init_parameters(network, seed=0)
    """
    return cast(Network, record(kind, kind, args, kwargs))


def record(
    call: Callable[..., nn.Module],
    kind: type[nn.Module],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> nn.Module:
    """Build a network by a call in place of its class; otherwise as `construct`."""
    return Construction(kind, _kept(args), _kept(dict(kwargs))).make(call)


def materialise(network: nn.Module, image_shape: Shape) -> None:
    """Give lazy layers their sizes, by a blank image; no-op without lazy layers.

    Args:
        network: of `construct`, so that `init_parameters` draws the values; otherwise they are
            drawn now.
        image_shape: channels, height, width.
    """
    if not any(is_lazy(tensor) for tensor in tensors_of(network).values()):
        return
    run_blank(network, image_shape)
    if construction := Construction.of(network):
        redone = Construction.of(replace(construction, image_shape=image_shape).make())
        assert redone is not None
        redone.belongs_to(network)


@torch.no_grad()
def run_blank(network: nn.Module, image_shape: Shape) -> Any:
    """Return the output for one black image, in evaluation mode.

    Modes and buffers stay as they are.

    Args:
        network: any module.
        image_shape: channels, height, width.
    """
    modes = {layer: layer.training for layer in network.modules()}
    device = next((tensor.device for tensor in network.parameters()), "cpu")
    network.eval()
    try:
        with preserve_buffers(network):
            return network(torch.zeros(1, *image_shape, device=device))
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers by full name, shared ones under each of their names."""
    return {
        full_name(name, part): tensor
        for name, layer in network.named_modules()
        for part, tensor in held(layer).items()
    }


def held(layer: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers that a layer holds itself, its parts apart."""
    return dict([*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)])


def full_name(layer: str, part: str) -> str:
    """Name a part of a layer; the network itself is the layer ""."""
    return f"{layer}.{part}" if layer else part


def _kept(value: Any) -> Any:
    """Return an argument as it is before its use: networks in it as constructions."""
    if isinstance(value, nn.Module):
        return Construction.of(value) or copy.deepcopy(value)
    if type(value) in (list, tuple):
        return type(value)(_kept(part) for part in value)
    return {key: _kept(part) for key, part in value.items()} if type(value) is dict else value


def _rebuilt(value: Any) -> Any:
    """Return the argument that `_kept` stands for."""
    if isinstance(value, Construction):
        return value.make()
    if isinstance(value, nn.Module):
        return copy.deepcopy(value)
    if type(value) in (list, tuple):
        return type(value)(_rebuilt(part) for part in value)
    return {key: _rebuilt(part) for key, part in value.items()} if type(value) is dict else value


def _networks_in(value: Any) -> Iterator[nn.Module]:
    """Yield the networks in the arguments of a constructor; a single layer made by hand is none."""
    if isinstance(value, nn.Module) and (Construction.of(value) or list(value.children())):
        yield value
    if type(value) in (list, tuple, dict):
        parts = value.values() if type(value) is dict else value
        for part in parts:
            yield from _networks_in(part)


@contextmanager
def _recording() -> Iterator[_Drawn]:
    """Note what each layer holds after its last `reset_parameters()`."""
    drawn: _Drawn = {}

    def recording(reset: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(reset)
        def recorded(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
            result = reset(layer, *args, **kwargs)
            # A copy of the layer takes the mark with it, but has no entry: it has been reset, and
            # does not hold a draw of its own.
            vars(layer)[_WAS_RESET] = True
            copies = {
                name: tensor.detach().clone()
                for name, tensor in held(layer).items()
                if not is_lazy(tensor)
            }
            drawn[id(layer)] = layer, copies
            return result

        return recorded

    resets = {
        kind: vars(kind)[_RESET]
        for kind in _subclasses(nn.Module)
        if inspect.isfunction(vars(kind).get(_RESET))
    }
    try:
        for kind, reset in resets.items():
            setattr(kind, _RESET, recording(reset))
        yield drawn
    finally:
        for kind, reset in resets.items():
            setattr(kind, _RESET, reset)


def _subclasses(kind: type[nn.Module]) -> set[type[nn.Module]]:
    return {kind}.union(*(_subclasses(below) for below in kind.__subclasses__()))


def _reset_the_rest(network: nn.Module, except_for: Any) -> None:
    built = {part for built_network in _networks_in(except_for) for part in built_network.modules()}
    for layer in reversed([layer for layer in network.modules() if layer not in built]):
        reset: Any = getattr(layer, _RESET, None)
        # Importing pytorch_lightning.demos gives torch's attention this name for what its
        # constructor has called already.
        alias = getattr(reset, "__name__", _RESET) != _RESET
        if callable(reset) and not alias and _WAS_RESET not in vars(layer):
            reset()


def _is_plain(network: nn.Module, drawn: _Drawn) -> bool:
    for layer in network.modules():
        current, initial = held(layer), drawn.get(id(layer), (layer, {}))[1]
        if current.keys() != initial.keys() or not all(
            torch.equal(tensor, initial[name]) for name, tensor in current.items()
        ):
            return False
    return True
