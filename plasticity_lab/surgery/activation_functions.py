"""Functions that count as the activations of units, as torch calls them, and where units are."""

import torch
from torch import Tensor
from torch.nn import functional as F

RELUS = {F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
"""What counts as a rectifier: `nn.ReLU` calls the first."""

_TANHS = {torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_}
_OTHERS = {F.relu6, F.hardtanh, F.leaky_relu, F.prelu, F.elu, F.selu, F.celu, F.gelu, F.silu}
ACTIVATIONS = {*RELUS, *_TANHS, *_OTHERS, F.mish, F.softplus, F.hardswish}
"""What counts as the activation of hidden units; sigmoids are gates, a softmax is attention."""

OF_FEATURES = {F.linear}
"""Whose outputs have units last."""

OF_MAPS = {F.conv1d, F.conv2d, F.conv3d, F.batch_norm, F.group_norm}
"""Whose outputs have units second."""


def unit_dim(ndim: int, of_maps: bool | None) -> int:
    """Return which dimension of values (examples, …) is that of units.

    It is the second of maps, the last of tokens.

    Args:
        ndim: number of dimensions.
        of_maps: whether they come from a convolution; None if that is not known.

    Examples:
        >>> unit_dim(4, None), unit_dim(4, False), unit_dim(3, None), unit_dim(3, True)
        (1, 3, 2, 1)
    """
    if ndim == 4 and of_maps is False:
        return 3
    if ndim == 3 and not of_maps:
        return 2
    return 1
