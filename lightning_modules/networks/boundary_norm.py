"""A network whose blocks can be followed by a normalisation with fixed statistics."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize, height_and_width
from lightning_modules.networks.wrapping import WrappingNetwork
from plasticity_lab.measurements.features import hooks
from plasticity_lab.measurements.parameter_groups import block_names
from plasticity_lab.surgery.construction import run_blank


class FixedNorm(nn.Module):
    """Subtracts a mean and divides by a deviation, both constants of a channel.

    They are 0 and 1, the identity, until `measure` sets them.

    Args:
        channels: of its inputs.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(channels))
        self.register_buffer("deviation", torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Become the identity."""
        nn.init.zeros_(self.mean)
        nn.init.ones_(self.deviation)

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Set the statistics to those of inputs (batch, channels, …), or of tokens.

        Deviations are unbiased, and at least 1e-5: a dead channel stays 0 and is no 0 / 0.
        """
        channels = x.movedim(self._axis(x), 0).flatten(1)
        self.mean.copy_(channels.mean(1))
        self.deviation.copy_(channels.std(1).clamp(min=1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, …), or (batch, tokens, channels), to the same shape."""
        shape = [1] * x.ndim
        shape[self._axis(x)] = -1
        return (x - self.mean.view(shape).to(x)) / self.deviation.view(shape).to(x)

    @staticmethod
    def _axis(x: Tensor) -> int:
        return 2 if x.ndim == 3 else 1


class BoundaryNormNetwork(WrappingNetwork):
    """A network in which `callbacks.LayerwiseReset` can put a fixed normalisation after a block.

    Alabdulmohsin et al. 2021, https://arxiv.org/abs/2109.00267. Each block but the last is followed
    by a `FixedNorm`, which is the identity until a round sets its statistics. Its control is this
    network without the callback.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        network: its class.
        options: its other arguments.

    Raises:
        UserError: for a class that cannot be built so.
    """

    def change(self, network: nn.Module, in_channels: int, image_size: ImageSize) -> None:
        """Put a `FixedNorm` after each block but the last."""
        shape = (in_channels, *height_and_width(image_size))
        for name, channels in _channels(network, block_names(network)[:-1], shape).items():
            parts = {"block": network.get_submodule(name), "boundary": FixedNorm(channels)}
            network.set_submodule(name, nn.Sequential(OrderedDict(parts)))


def _channels(network: nn.Module, blocks: list[str], shape: tuple[int, ...]) -> dict[str, int]:
    """Return the channels of what each block makes of an image."""
    channels: dict[str, int] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            channels[name] = output.shape[2 if output.ndim == 3 else 1]

        return hook

    parts = [(name, network.get_submodule(name)) for name in blocks]
    with hooks(*(part.register_forward_hook(keep(name)) for name, part in parts)):
        run_blank(network, shape)
    return channels
