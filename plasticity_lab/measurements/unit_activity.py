"""How active the units of layers are."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from plasticity_lab.measurements.activations import Call, recorded
from plasticity_lab.surgery.activation_functions import ACTIVATIONS
from plasticity_lab.surgery.unit_marks import Site
from plasticity_lab.surgery.units import Units


def unit_activity(
    network: nn.Module, inputs: Tensor, units: Mapping[str, Units]
) -> dict[str, Tensor]:
    """Return the mean absolute activation of each unit on each example, by layer.

    The mean is over all positions or tokens, and over all activations of the unit (two channels of
    CReLU, or several calls).

    Args:
        network: in evaluation mode.
        inputs: (examples, …).
        units: of its layers, as `select_units` returns them.

    Returns:
        for each layer (examples, units).

    Examples:
        >>> from plasticity_lab.surgery import select_units
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> units = select_units(network, torch.zeros(1, 3))
        >>> unit_activity(network, torch.ones(5, 3), units)["0"].shape
        torch.Size([5, 4])
    """
    sites = [(layer, *item) for layer, known in units.items() for item in known.activations.items()]

    def take(number: int, call: Call) -> Tensor:
        here = [_of_units(call.output, site) for _, one, site in sites if one == number]
        return torch.cat(here, 1) if here else call.output.new_empty(len(call.output), 0)

    found: dict[str, list[Tensor]] = {layer: [] for layer in units}
    for number, (_, activity) in enumerate(recorded(network, inputs, ACTIVATIONS, take)):
        here = [(layer, len(site.channels)) for layer, one, site in sites if one == number]
        parts = torch.split(activity, [count for _, count in here], 1) if here else ()
        for (layer, _), part in zip(here, parts, strict=True):
            found[layer].append(part)
    return {layer: torch.stack(parts).mean(0) for layer, parts in found.items()}


def _of_units(output: Tensor, site: Site) -> Tensor:
    """Return the mean magnitude of each unit on each example, (examples, units)."""
    channels = output.abs().movedim(site.dim, 1)
    if channels.ndim > 2:
        channels = channels.flatten(2).mean(2)
    return channels[:, site.channels.to(output.device)].mean(2)
