"""What a module trains."""

from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from plasticity_lab.errors import UserError


def unwrap(module: nn.Module) -> nn.Module:
    """Return what a module trains: its `network`, or itself."""
    network: Any = getattr(module, "network", None)
    return network if isinstance(network, nn.Module) else module


def check_sizes_known(module: nn.Module) -> None:
    """Raise UserError for a network with lazy layers that has never been called."""
    network = unwrap(module)
    lazy = {
        name.rpartition(".")[0] for name, tensor in network.named_parameters() if is_lazy(tensor)
    }
    if lazy:
        raise UserError(
            "network",
            value=type(network).__name__,
            problem=f"has lazy layers ({', '.join(sorted(lazy))}), whose sizes are not known yet",
            fix="call it on a batch before training",
        )
