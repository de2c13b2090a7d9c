"""A network whose blocks can be followed by a normalisation with fixed statistics."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize, height_and_width
from lightning_modules.networks.wrapping import WrappingNetwork
from plasticity_lab.measurements.features import hooks
from plasticity_lab.measurements.parameter_groups import block_names
from plasticity_lab.surgery.construction import run_blank
from plasticity_lab.surgery.fixed_norm import FixedNorm


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
