"""A network's initial values, drawn from the run's seed and re-derived from it whenever needed."""

from typing import Any

from torch import nn

from randomness import global_stream


def initialise(network: nn.Module, seed: int) -> None:
    """Draw the initial values of every layer in place, each layer from a stream of its own keyed by (seed, "init", its name).

    Changing one layer (a wider head, say) hence leaves the others' draws as they were. A layer without `reset_parameters()` keeps
    the values its constructor drew.

    Args:
        network: whose layers draw their own parameters by `reset_parameters()`, as PyTorch's do.
        seed: the run's seed.
    """
    for name, layer in network.named_modules():
        reset: Any = getattr(layer, "reset_parameters", None)
        if callable(reset):
            with global_stream(seed, "init", name):
                reset()
