"""How large the weights of units are."""

import torch
from torch import Tensor, nn

from plasticity_lab.surgery.units import Units


@torch.no_grad()
def incoming_magnitudes(network: nn.Module, units: Units) -> Tensor:
    """Return the mean absolute incoming weight of each unit of a layer, (units,).

    Args:
        network: whose layer it is.
        units: as `select_units` returns them.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> units = select_units(network, torch.zeros(1, 3))
        >>> incoming_magnitudes(network, units["0"]).equal(network[0].weight.abs().mean(1))
        True
    """
    weight = network.get_submodule(units.layer).get_parameter("weight")
    return weight.float().abs().flatten(1).mean(1)


@torch.no_grad()
def outgoing_magnitudes(network: nn.Module, units: Units) -> Tensor:
    """Return the mean absolute weight by which each unit feeds other layers, (units,).

    The mean is over all its weights in all layers that it feeds.

    Args:
        network: whose layer it is.
        units: as `select_units` returns them.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> units = select_units(network, torch.zeros(1, 3))
        >>> outgoing_magnitudes(network, units["0"]).equal(network[2].weight.abs().mean(0))
        True
    """
    totals: list[Tensor] = []
    count = 0
    for name, places in units.consumers.items():
        layer = network.get_submodule(name)
        weight = layer.get_parameter("weight").float().abs()
        groups = getattr(layer, "groups", 1)
        of_group = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
        columns = of_group.sum((1, 3)).flatten()
        totals.append(columns[places.to(columns.device)].sum(1))
        count += of_group.shape[1] * of_group.shape[3] * places.shape[1]
    return torch.stack(totals).sum(0) / count
