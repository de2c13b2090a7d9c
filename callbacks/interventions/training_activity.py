"""What the units of a network do in the forward passes of training."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.activation_functions import ACTIVATIONS
from plasticity_lab.surgery.unit_marks import Site
from plasticity_lab.surgery.units import Units

Measure = Callable[[str, Tensor, Site], Tensor]
"""From a layer's name, what an activation gives out, and where the layer's units are in it, to
numbers of each unit, (numbers, units)."""

Sums = dict[str, tuple[Tensor, float]]
"""By layer: weighted sums of what was measured, and the weights' sum."""


_WATCHED = ContextVar("_WATCHED", default=True)


@contextmanager
def unwatched() -> Iterator[None]:
    """Hide forward passes of the network in training mode that are not those of training."""
    token = _WATCHED.set(False)
    try:
        yield
    finally:
        _WATCHED.reset(token)


class TrainingActivity:
    """Measures units in the forward passes between `begin` and `end`, without one of its own.

    Args:
        who: the intervention, for messages.
        measure: what is measured, without gradients.
    """

    def __init__(self, who: str, measure: Measure) -> None:
        self.who = who
        self.measure = measure
        self.sums: Sums = {}
        self._handles: list[Any] = []

    def begin(self, network: nn.Module, units: Mapping[str, Units]) -> None:
        """Watch a network, of which `units` are known, as it is called in training mode."""
        self.end()
        self.sums = {}
        watch = _Watch(lambda number, output: self._see(number, output, units))
        calls = next(iter(units.values())).calls
        entered: list[bool] = []

        def enter(called: nn.Module, inputs: Any) -> None:
            # A copy of the network has these hooks too.
            if called is network and called.training and _WATCHED.get():
                watch.number = 0
                watch.__enter__()  # type: ignore[no-untyped-call]
                entered.append(True)

        def leave(called: nn.Module, inputs: Any, output: Any) -> None:
            if called is network and entered:
                entered.pop()
                watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]
                if output is not None and watch.number != calls:
                    raise UserError(
                        self.who,
                        problem=f"the network calls {watch.number} activations in training and "
                        f"{calls} in evaluation, so that its units are not known",
                        fix="remove it",
                    )

        self._handles = [
            network.register_forward_pre_hook(enter),
            network.register_forward_hook(leave, always_call=True),
        ]

    def end(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @torch.no_grad()
    def _see(self, number: int, output: Tensor, units: Mapping[str, Units]) -> None:
        for layer, known in units.items():
            if number not in known.activations:
                continue
            values = output.detach().float()
            weight = float(values.numel())
            total = weight * self.measure(layer, values, known.activations[number])
            before = self.sums.get(layer)
            self.sums[layer] = add(before, (total, weight))


def add(first: tuple[Tensor, float] | None, second: tuple[Tensor, float]) -> tuple[Tensor, float]:
    """Add two weighted sums, of which the first may be None."""
    if first is None:
        return second
    return first[0].to(second[0].device) + second[0], first[1] + second[1]


def of_units(channels: Tensor, site: Site) -> Tensor:
    """Return the means over the channels of each unit, (units,)."""
    return channels[site.channels.to(channels.device)].mean(1)


def other_dims(values: Tensor, site: Site) -> list[int]:
    """Return all dimensions but that of channels."""
    return [dim for dim in range(values.ndim) if dim != site.dim]


class _Watch(TorchFunctionMode):
    """Shows what activations give out to a function, with their numbers."""

    def __init__(self, see: Callable[[int, Tensor], None]) -> None:
        super().__init__()
        self.number = 0
        self._show = see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in ACTIVATIONS:
            self._show(self.number, result)
            self.number += 1
        return result
