"""Buffers that are as they were, whatever a forward pass does to them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy


@contextmanager
def preserve_buffers(network: nn.Module) -> Iterator[None]:
    """Restore a network's buffers afterwards: the same tensors with the same values.

    Some forward passes change them in place (batch norm), others assign new ones.
    """
    buffers = [
        (part, name, buffer, buffer.clone())
        for part in network.modules()
        for name, buffer in part.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, buffer, value in buffers:
                buffer.copy_(value)
                setattr(part, name, buffer)
