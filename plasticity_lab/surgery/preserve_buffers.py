"""Buffers that are as they were, whatever a forward pass does to them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy


@contextmanager
def preserve_buffers(network: nn.Module) -> Iterator[None]:
    """Restore a network's buffers afterwards: the same tensors with the same values.

    Some forward passes change them in place (batch norm), others assign new ones, or fill those
    that are None.
    """
    buffers = [
        (part, name, buffer, None if buffer is None else buffer.clone())
        for part in network.modules()
        for name, buffer in part._buffers.items()
        if buffer is None or not is_lazy(buffer)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, buffer, value in buffers:
                if buffer is not None and value is not None:
                    buffer.copy_(value)
                setattr(part, name, buffer)
