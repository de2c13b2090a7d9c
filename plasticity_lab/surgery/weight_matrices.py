"""The weights of a network that are matrices: of linear layers, convolutions and attention."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
MATRIX_LAYERS = (*_LINEAR, nn.Bilinear, nn.MultiheadAttention)


def matrix_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers, convolutions and attention of a network, by name.

    Transposed convolutions, whose kernels have the inputs first, are left out.

    Raises:
        UserError: by name, for a layer whose weight is computed from others (`weight_norm`,
            `prune`); for a network without such layers.

    Examples:
        >>> list(matrix_layers(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 1))))
        ['0', '2']
    """
    layers: dict[str, nn.Module] = {
        name: layer
        for name, layer in layers_with_state(network).items()
        if isinstance(layer, MATRIX_LAYERS)
    }
    for name, layer in layers.items():
        weight: Any = getattr(layer, "weight", None)
        if weight is not None and not isinstance(weight, nn.Parameter):
            raise UserError(
                name,
                problem="its weight is computed from others (weight_norm, prune)",
                fix="use a network without that",
            )
    if not layers:
        raise UserError(type(network).__name__, problem="has no linear layer and no convolution")
    return layers


def matrices(layers: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Return the weights of layers that are matrices or kernels, by full name.

    The stacked projections of torch's attention are one; its extra key and value (`add_bias_kv`),
    of shape (1, 1, width), are biases.

    Examples:
        >>> list(matrices({"0": nn.Linear(3, 2), "1": nn.LayerNorm(2)}))
        ['0.weight']
    """
    return {
        name: value
        for name, value in own_parameters(layers).items()
        if value.ndim > 1 and name.rpartition(".")[2] not in ("bias_k", "bias_v")
    }


def as_matrix(weight: Tensor) -> Tensor:
    """Return a weight as a matrix (outputs, rest): kernels with all inputs and positions in a row.

    Examples:
        >>> as_matrix(nn.Conv2d(3, 8, 5).weight).shape
        torch.Size([8, 75])
    """
    return weight.flatten(1)


def linear_layers(layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the linear and convolutional layers among some.

    Raises:
        UserError: by name, for a weight that is computed from others, as by weight norm.

    Examples:
        >>> list(linear_layers({"0": nn.Linear(2, 2), "1": nn.BatchNorm1d(2)}))
        ['0']
    """
    chosen: dict[str, nn.Module] = {
        name: layer for name, layer in layers.items() if isinstance(layer, _LINEAR)
    }
    for name, layer in chosen.items():
        if "weight" not in dict(layer.named_parameters(recurse=False)):
            raise UserError(
                name,
                problem="computes its weight from others, as by weight norm",
                fix="remove that, or choose other layers",
            )
    return chosen
