"""A network set to the average of what it has been."""

import torch
from torch import nn

from plasticity_lab.surgery.construction import tensors_of
from plasticity_lab.surgery.layer_selection import is_flag


@torch.no_grad()
def return_to_average(network: nn.Module, average: nn.Module) -> None:
    """Set a network to an average of it, in place: the hare becomes the tortoise.

    Lee et al. 2024, https://arxiv.org/abs/2406.02596.

    Changes: parameters and buffers, normalisation statistics too, so far as the average has others.
    Keeps: frozen parameters, whose average is them but for rounding; boolean buffers, which say how
    a layer is used; the average; optimizer state.

    Args:
        network: on any device.
        average: of the same layers, such as `torch.optim.swa_utils.AveragedModel.module`.

    Raises:
        KeyError: for a tensor that the average lacks.

    Examples:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> average = torch.optim.swa_utils.AveragedModel(network)
        >>> for weight in (0.0, 1.0):
        ...     _ = nn.init.constant_(network.weight, weight)
        ...     average.update_parameters(network)
        >>> return_to_average(network, average.module)
        >>> network.weight.item()
        0.5
    """
    averaged = tensors_of(average)
    for name, tensor in tensors_of(network).items():
        frozen = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
        if not (frozen or is_flag(tensor)):
            tensor.copy_(averaged[name])
