"""Layers drawn again."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import Key, redraw
from plasticity_lab.surgery.layer_selection import copy_buffers, own_parameters
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state


@torch.no_grad()
def reset_layers(
    network: nn.Module,
    layers: Mapping[str, nn.Module],
    key: Key,
    norm_statistics: bool = True,
    optimizers: Iterable[Optimizer] = (),
    holder: nn.Module | None = None,
) -> None:
    """Draw layers again, in place, by the rule that drew them first (Berariu et al. 2021, A.5).

    Changes: parameters and buffers of the layers; their normalisation statistics if asked; the
    state that the given optimizers hold for their parameters. Keeps: all other layers, rates.

    Args:
        network: as `construct` has built it.
        layers: what to draw, as `select_layers` returns it.
        key: what keys the draw of a layer, by its name.
        norm_statistics: reset running means and variances too.
        optimizers: whose state of these parameters is reset; none keep it.
        holder: what holds the network, as `redraw`.

    Raises:
        UserError: if the layers hold no parameters of their own; by name, for a layer whose rule is
            not known.

    Examples:
        >>> network = construct(nn.Linear, 3, 2)
        >>> before = network.weight.clone()
        >>> reset_layers(network, {"": network}, key=lambda name: (0, "reset", 100, name))
        >>> torch.equal(network.weight, before)
        False
    """
    parameters = own_parameters(layers)
    if not parameters:
        raise UserError(
            "layers",
            value=", ".join(layers),
            problem="hold no parameters of their own",
            fix="choose their parts, as select_layers does",
        )
    fresh = redraw(network, layers, key, holder)
    for name, parameter in parameters.items():
        parameter.copy_(fresh[name])
    copy_buffers(layers, fresh, norm_statistics=norm_statistics, other_buffers=True)
    reset_optimizer_state(optimizers, parameters.values())
