"""What a forward pass of a network costs."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from plasticity_lab.measurements.preserve_state import preserve_state

_aten = torch.ops.aten


def count_flops(network: nn.Module, inputs: Tensor) -> int:
    """Return the floating-point operations of a forward pass in evaluation mode.

    As Liu et al. 2019, https://arxiv.org/abs/1810.05270, count them: two for each multiplication
    with a weight, two for each number that batch norm takes, one for each that ReLU takes, and one
    for each number in the windows of pooling over two dimensions (adaptive pooling counts where its
    output is one position). By them Scratch-B gives a pruned network as much
    computation as the whole one has, epochs x FLOPs of the whole / FLOPs of the pruned. Weights
    that a mask has set to 0 count: pruned filters must be gone.

    Args:
        network: any module.
        inputs: what it takes; the count is of all examples in it.

    Examples:
        >>> count_flops(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), torch.zeros(1, 3))
        28
    """
    counter = FlopCounterMode(display=False, custom_mapping=_COUNTS)
    with torch.no_grad(), preserve_state(network), counter:
        network(inputs)
    return int(counter.get_total_flops())


def _of_norm(shape: Any, *_: Any, **__: Any) -> int:
    return int(2 * prod(shape))


def _of_activation(shape: Any, *_: Any, **__: Any) -> int:
    return int(prod(shape))


def _of_pooling(shape: Any, kernel: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    output = out_shape[0] if isinstance(out_shape[0], (tuple, list, torch.Size)) else out_shape
    window = kernel if len(kernel) == 2 else [*kernel, *kernel]
    return int(prod(output) * prod(window))


def _of_mean(shape: Any, *_: Any, **__: Any) -> int:
    return int(prod(shape))


_COUNTS: dict[Any, Any] = {
    _aten.native_batch_norm: _of_norm,
    _aten._native_batch_norm_legit_no_training: _of_norm,
    _aten.cudnn_batch_norm: _of_norm,
    _aten.relu: _of_activation,
    _aten.relu_: _of_activation,
    _aten.max_pool2d_with_indices: _of_pooling,
    _aten.avg_pool2d: _of_pooling,
    _aten.mean: _of_mean,
}
