"""Units that begin anew, without a trace in the layers that they feed."""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from plasticity_lab.surgery.construction import full_name, held
from plasticity_lab.surgery.initialisation import Key, redraw
from plasticity_lab.surgery.optimizer_state import clear_optimizer_state
from plasticity_lab.surgery.units import Units


@torch.no_grad()
def reset_units(
    network: nn.Module,
    units: Mapping[str, Units],
    chosen: Mapping[str, Tensor],
    key: Key,
    optimizers: Iterable[Optimizer] = (),
    holder: nn.Module | None = None,
    bias: Literal["fresh", "zero"] = "fresh",
    step_counts: bool = False,
) -> int:
    """Reset units in place: incoming weights are drawn again, outgoing weights are 0.

    The network then computes what it did, less what the units contributed. With batch norm that is
    so in evaluation mode; where layer norm or group norm stands between a layer and its activation,
    its other units change too, as they are normalised together.

    Changes: incoming weights and bias of the units; their scales, shifts and running statistics in
    normalisation layers, to those of a new layer; the weights that they feed, to 0; moments that
    optimizers hold for these positions, to 0. Keeps: everything else, the biases of the layers that
    they feed included. Moments that an optimizer holds in another shape than the parameter's (of
    rows and columns, as Adafactor) are kept. Adam counts steps for a whole parameter, not for each
    unit: with moments of 0 and a high count its first steps for the new weights are longer (3.2
    times the rate with the default betas).

    Args:
        network: as `construct` has built it.
        units: of its layers, as `select_units` returns them.
        chosen: which units to reset, by the layers' names, bool (units,); a layer may be missing.
        key: what keys the draw of a layer, by its name. Each layer is drawn whole, and the chosen
            units take theirs from it.
        optimizers: whose moments are cleared; none keep them.
        holder: what holds the network, as `redraw`.
        bias: of the units: `fresh` as a new layer has it, or `zero`.
        step_counts: set the step counts of the changed parameters to 0, for all their positions.

    Returns:
        how many units were reset.

    Raises:
        UserError: by name, for a layer that cannot be drawn again.

    Examples:
        >>> network = construct(nn.Sequential, nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> units = select_units(network, torch.zeros(1, 3))
        >>> chosen = {"0": torch.tensor([True, False, False, False])}
        >>> reset_units(network, units, chosen, key=lambda name: (0, "recycle", 100, name))
        1
        >>> network[2].weight[:, 0]
        tensor([0., 0.], grad_fn=<SelectBackward0>)
    """
    reset = {name: marks.cpu() for name, marks in chosen.items() if marks.any()}
    if not reset:
        return 0
    norms = {norm for name in reset for norm in units[name].norms}
    fresh = redraw(network, [*reset, *sorted(norms)], key, holder)
    masks: dict[nn.Parameter, Tensor] = {}

    # Incoming weights first: a unit may feed another that is reset, and its weight is 0 then.
    for name, marks in reset.items():
        for part, tensor in held(network.get_submodule(name)).items():
            value = fresh[full_name(name, part)]
            if part == "bias" and bias == "zero":
                value = torch.zeros_like(value)
            _replace(tensor, _at(tensor, marks), value, masks)
        for norm, channels in units[name].norms.items():
            for part, tensor in held(network.get_submodule(norm)).items():
                if tensor.ndim:
                    places = _marked(channels[marks], len(tensor))
                    _replace(tensor, places, fresh[full_name(norm, part)], masks)

    for name, marks in reset.items():
        for consumer, places in units[name].consumers.items():
            layer = network.get_submodule(consumer)
            weight = layer.get_parameter("weight")
            _replace(weight, outgoing(layer, places[marks]), torch.zeros(()), masks)
    for optimizer in optimizers:
        clear_optimizer_state(optimizer, masks, step_counts)
    return sum(int(marks.sum()) for marks in reset.values())


def outgoing(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return where the weights of a layer meet some of its inputs, bool of its weight's shape.

    Args:
        layer: linear, or a convolution, of groups too.
        inputs: numbers of its input features or channels.

    Examples:
        >>> outgoing(nn.Linear(3, 2), torch.tensor([1]))
        tensor([[False,  True, False],
                [False,  True, False]])
    """
    weight = layer.get_parameter("weight")
    groups = getattr(layer, "groups", 1)
    marked = _marked(inputs, weight.shape[1] * groups)
    # The outputs of a group see the inputs of that group only.
    of_group = marked.view(groups, 1, weight.shape[1])
    rows = of_group.expand(-1, len(weight) // groups, -1).reshape(weight.shape[:2])
    return rows.view(*rows.shape, *[1] * (weight.ndim - 2)).expand_as(weight).to(weight.device)


def _marked(places: Tensor, count: int) -> Tensor:
    marks = torch.zeros(count, dtype=torch.bool)
    marks[places.flatten()] = True
    return marks


def _at(tensor: Tensor, marks: Tensor) -> Tensor:
    """Return marks of units as a mask of what has them first."""
    return marks.to(tensor.device).view(-1, *[1] * (tensor.ndim - 1)).expand_as(tensor)


def _replace(
    tensor: Tensor, mask: Tensor, value: Tensor, masks: dict[nn.Parameter, Tensor]
) -> None:
    """Replace values in place, and note where."""
    mask = mask.to(tensor.device)
    tensor.copy_(torch.where(mask, value.to(tensor), tensor))
    if isinstance(tensor, nn.Parameter):
        masks[tensor] = masks[tensor] | mask if tensor in masks else mask
