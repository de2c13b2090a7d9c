"""Which parameters the units of a layer have, and which ones they feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import held
from plasticity_lab.surgery.layer_selection import matching
from plasticity_lab.surgery.unit_marks import (
    Refusal,
    Site,
    channel_dim,
    codes_of,
    marking,
    marks_of,
    places_of,
    sites_of,
)
from plasticity_lab.surgery.wiring import Change, Run, Wiring


@dataclass(frozen=True)
class Units:
    """The output units of a layer, and where they go.

    Attributes:
        layer: its name.
        count: how many there are.
        norms: channels of the normalisation layers that they pass, by name, (units, channels).
        activations: where they are in the outputs of activation functions, by the number of the
            call in a forward pass.
        consumers: which inputs they are of the layers that they feed, by name, (units, inputs):
            several of each for a convolution that is flattened, or CReLU.
        calls: of activation functions in a forward pass.
    """

    layer: str
    count: int
    norms: Mapping[str, Tensor]
    activations: Mapping[int, Site]
    consumers: Mapping[str, Tensor]
    calls: int


class UnitTrace(NamedTuple):
    """What tracing has found.

    Attributes:
        units: by the names of the layers whose units are known, in the network's order.
        refused: why they are not, by the names of all other linear layers and convolutions.
    """

    units: dict[str, Units]
    refused: dict[str, str]


def trace_units(network: nn.Module, inputs: Tensor) -> UnitTrace:
    """Find which parameters belong to each unit of a network, and which ones it feeds.

    A unit is an output of a linear layer, or a channel of a convolution. It is found from what the
    network computes, not from names: in a copy in which all other layers give out constants, NaN in
    some units shows which inputs of other layers depend on them. A layer's units are known if they
    pass an activation, each stays by itself on its way, and no other value is added to it there.
    So the first convolution of a residual block is found, and the second refused, and so are
    queries, keys and values of attention, and the output layer.

    Layer norm and group norm count as the identity. They make a unit depend on the others through
    mean and variance alone, which change when a unit is reset.

    Args:
        network: any module from one tensor to one tensor. It is left alone, and nothing is drawn.
        inputs: an example that it takes, (1, …); its values do not matter.

    Raises:
        UserError: for a network that does not run on the example.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> found = trace_units(network, torch.zeros(1, 3))
        >>> found.units["0"].consumers["2"].tolist()
        [[0], [1], [2], [3]]
        >>> found.refused
        {'2': 'its units reach the output of the network'}
    """
    wiring = Wiring(network, inputs)
    plain = wiring.run()
    shared = _shared_weights(network)
    trace = UnitTrace({}, {})
    for name in wiring.layers:
        try:
            trace.units[name] = _trace(wiring, plain, name, shared)
        except Refusal as reason:
            trace.refused[name] = str(reason)
    return trace


def select_units(
    network: nn.Module, inputs: Tensor, layers: Sequence[str] | None = None
) -> dict[str, Units]:
    """Return the layers, by name, whose units can be recycled, among those chosen.

    Args:
        network: as `trace_units` takes it.
        inputs: likewise.
        layers: names and patterns of layers, as `layer4*`; a layer's parts belong to it. Without
            them all layers whose units are known.

    Raises:
        UserError: by name and with the reason, for a chosen layer whose units are not known; if
            there is none.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> list(select_units(network, torch.zeros(1, 3)))
        ['0']
    """
    found = trace_units(network, inputs)
    if layers is None:
        if not found.units:
            reasons = "; ".join(f"{name or 'it'}: {why}" for name, why in found.refused.items())
            raise UserError(
                "network",
                value=type(network).__name__,
                problem=f"has no layer whose units can be recycled ({reasons})",
                fix="remove it",
            )
        return found.units
    chosen = matching(network, layers)
    for name, reason in found.refused.items():
        if _belongs(name, chosen):
            raise UserError(
                "layers",
                value=name,
                problem=f"cannot be recycled: {reason}",
                fix=f"choose among {', '.join(found.units) or 'other networks'}",
            )
    units = {name: known for name, known in found.units.items() if _belongs(name, chosen)}
    if not units:
        raise UserError(
            "layers",
            value=", ".join(layers),
            problem="have no units",
            fix=f"choose among {', '.join(found.units)}",
        )
    return units


def _trace(wiring: Wiring, plain: Run, name: str, shared: Mapping[str, str]) -> Units:
    """Return the units of a layer; raises why they are not known."""
    _check_layer(wiring, name, shared)
    dim = channel_dim(wiring.layers[name])
    count = wiring.outputs[name][0].shape[dim]
    fed = _check_paths(wiring, plain, name)
    _check_fed(wiring, fed, shared)
    codes = codes_of(count)
    runs = [wiring.run(marking(name, dim, marked)) for marked in codes]
    if any(run.calls != plain.calls for run in runs):
        raise Refusal(_BRANCHES)

    # Where they go.
    consumers = {}
    for other in fed:
        marks = marks_of([run.inputs[other] for run in runs], channel_dim(wiring.layers[other]))
        consumers[other] = places_of(marks, codes, f"way to '{other}'")

    # What they pass.
    activations = sites_of([run.activations for run in runs], codes)
    if not activations:
        raise Refusal("its units pass no activation (ReLU, GELU, tanh …)")
    norms = {}
    for other, norm in wiring.norms.items():
        sites = sites_of([run.inputs[other] for run in runs], codes)
        if sites:
            _check_norm(other, norm, sites, runs[0], shared)
            norms[other] = sites[0].channels
    return Units(name, count, norms, activations, consumers, len(plain.activations))


def _check_layer(wiring: Wiring, name: str, shared: Mapping[str, str]) -> None:
    """Refuse a layer that is not called once, or whose weight is not its own."""
    layer, calls = wiring.layers[name], len(wiring.outputs[name])
    if calls == 0:
        raise Refusal("it is never called as a layer in a forward pass")
    if calls > 1:
        raise Refusal(f"it is called {calls} times in a forward pass")
    if "weight" not in dict(layer.named_parameters(recurse=False)):
        raise Refusal("its weight is computed from others")
    if not all(parameter.requires_grad for parameter in layer.parameters(recurse=False)):
        raise Refusal("it is frozen")
    if name in shared:
        raise Refusal(f"it shares parameters with '{shared[name]}'")
    output = wiring.outputs[name][0]
    if not isinstance(layer, nn.Linear) and output.ndim != layer.weight.ndim:
        raise Refusal("it is called on a single example")
    if output.shape[channel_dim(layer)] < 2:
        raise Refusal("it has a single unit")


_BRANCHES = "which path the network takes depends on its units"


def _check_paths(wiring: Wiring, plain: Run, name: str) -> list[str]:
    """Return the layers that units reach; refuse those that reach the output or are joined."""
    # All of them are marked.
    whole = wiring.run(_setting(name, nan))
    if whole.calls != plain.calls:
        raise Refusal(_BRANCHES)
    if whole.output.isnan().any():
        raise Refusal("its units reach the output of the network")
    marked = {other: [value.isnan() for value in values] for other, values in whole.inputs.items()}
    fed = [other for other in wiring.layers if any(mask.any() for mask in marked[other])]
    if not fed:
        raise Refusal("its units feed no linear layer or convolution")

    # All but them are marked.
    rest = wiring.run(_setting(name, nan, others=True), others=True)
    for other in fed:
        dim = channel_dim(wiring.layers[other])
        both = marks_of([whole.inputs[other], rest.inputs[other]], dim).all(0)
        if both.any():
            raise Refusal(f"other values join its units on their way to '{other}' (a residual sum)")

    # What changes with their values is what was marked: some operations lose the marks.
    for level in (3.0, -3.0):
        run = wiring.run(_setting(name, level))
        if run.calls != plain.calls:
            raise Refusal(_BRANCHES)
        lost = not run.output.equal(plain.output)
        for other, values in run.inputs.items():
            for mask, value, before in zip(marked[other], values, plain.inputs[other], strict=True):
                lost |= bool(((value != before) & ~mask).any())
        if lost:
            raise Refusal("where its units go cannot be followed")
    return fed


def _check_fed(wiring: Wiring, fed: Sequence[str], shared: Mapping[str, str]) -> None:
    """Refuse units that feed a layer whose weight cannot be set to 0 for them alone."""
    for other in fed:
        own = dict(wiring.layers[other].named_parameters(recurse=False))
        if "weight" not in own:
            raise Refusal(f"it feeds '{other}', whose weight is computed from others")
        if not own["weight"].requires_grad:
            raise Refusal(f"it feeds '{other}', which is frozen")
        if other in shared:
            raise Refusal(f"it feeds '{other}', which shares parameters with '{shared[other]}'")


def _check_norm(
    name: str, norm: nn.Module, sites: Mapping[int, Site], run: Run, shared: Mapping[str, str]
) -> None:
    """Refuse units that pass a normalisation without parameters of their own in it."""
    values = run.inputs[name]
    if len(values) > 1:
        raise Refusal(f"its units pass '{name}', which is called {len(values)} times")
    channels = values[0].shape[sites[0].dim]
    if any(tensor.ndim and tensor.shape != (channels,) for tensor in held(norm).values()):
        raise Refusal(f"its units pass '{name}', whose parameters are not one for each channel")
    if name in shared:
        raise Refusal(f"its units pass '{name}', which shares parameters with '{shared[name]}'")
    if not all(parameter.requires_grad for parameter in norm.parameters(recurse=False)):
        raise Refusal(f"its units pass '{name}', which is frozen")


def _setting(name: str, value: float, others: bool = False) -> Change:
    """Return what sets the outputs of a layer, or those of all others, to a value."""

    def change(layer: str, output: Tensor) -> Tensor:
        return output.fill_(value) if (layer == name) is not others else output

    return change


def _shared_weights(network: nn.Module) -> dict[str, str]:
    """Return the names of layers that hold a parameter of another layer, with that layer."""
    holders: dict[int, list[str]] = {}
    for name, part in network.named_modules():
        for parameter in part.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(name)
    shared = {}
    for names in holders.values():
        for name in names if len(names) > 1 else []:
            shared[name] = next(other for other in names if other != name)
    return shared


def _belongs(name: str, chosen: Sequence[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") or not one for one in chosen)
