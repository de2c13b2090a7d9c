"""What a module trains."""

from typing import Any

from torch import nn


def unwrap(module: nn.Module) -> nn.Module:
    """Return what a module trains: its `network`, or itself."""
    network: Any = getattr(module, "network", module)
    assert isinstance(network, nn.Module)
    return network
