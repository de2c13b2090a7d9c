"""Networks of which some hidden units are kept."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import full_name
from plasticity_lab.surgery.unit_reset import outgoing
from plasticity_lab.surgery.units import Units, trace_units


def hidden_units(network: nn.Module, inputs: Tensor) -> list[Units]:
    """Return which units each activation of a network gives out, in the order of their calls.

    Args:
        network: as `trace_units` takes it.
        inputs: an example, (1, …), whose values do not matter.

    Raises:
        UserError: for an activation that does not give out the units of one layer, each once.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> [units.layer for units in hidden_units(network, torch.zeros(1, 3))]
        ['0']
    """
    found = trace_units(network, inputs)
    calls = max((units.calls for units in found.units.values()), default=1)
    owners = []
    for number in range(calls):
        here = [units for units in found.units.values() if number in units.activations]
        if len(here) != 1 or not _each_once(here[0], number):
            reasons = "; ".join(f"{name or 'it'}: {why}" for name, why in found.refused.items())
            raise UserError(
                "network",
                value=type(network).__name__,
                problem=f"units of its activation {number + 1} are not those of one layer"
                f" ({reasons})",
                fix="use one such as MLP",
            )
        owners += here
    return owners


def _each_once(units: Units, number: int) -> bool:
    """Whether an activation, and no other, gives out each unit in its place."""
    channels = units.activations[number].channels
    order = torch.arange(units.count)[:, None]
    return len(units.activations) == 1 and channels.equal(order)


def unit_masks(
    network: nn.Module, units: Mapping[str, Units], kept: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return masks of weights that prune all units of layers but those that are kept.

    Pruned are the weights by which other units are fed, and those by which they feed. Their biases
    and their scales and shifts in normalisation layers are left, and nothing depends on them: but
    for layer norm and group norm, by which units of a layer are normalised together.

    Args:
        network: whose units they are.
        units: by layer, as `trace_units` returns them.
        kept: which are kept, bool (units,), by layer; a layer that is missing keeps all.

    Returns:
        by name of the weight, bool of its shape, True where it survives: of the layers, and of
        those that they feed.

    Examples:
        >>> network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> units = trace_units(network, torch.zeros(1, 1)).units
        >>> masks = unit_masks(network, units, {"0": torch.tensor([True, False, True])})
        >>> masks["0.weight"].flatten(), masks["2.weight"].flatten()
        (tensor([ True, False,  True]), tensor([ True, False,  True]))
    """
    masks: dict[str, Tensor] = {}

    def prune(layer: str, places: Tensor) -> None:
        name = full_name(layer, "weight")
        masks[name] = masks.get(name, torch.ones_like(places)) & ~places

    for layer, marks in kept.items():
        weight = network.get_submodule(layer).get_parameter("weight")
        pruned = ~marks.to(weight.device)
        prune(layer, pruned.view(-1, *[1] * (weight.ndim - 1)).expand_as(weight))
        for consumer, inputs in units[layer].consumers.items():
            prune(consumer, outgoing(network.get_submodule(consumer), inputs[~marks.cpu()]))
    return masks
