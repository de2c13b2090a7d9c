"""Networks that change a part of another one."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from lightning_modules.networks.adapters import build_inner
from lightning_modules.networks.layers import ImageSize
from lightning_modules.networks.mlp import MLP
from plasticity_lab.measurements.parameter_groups import block_names


class WrappingNetwork(nn.Module, ABC):
    """Holds a network as `network`, of which it changes parts once it is built.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        network: its class.
        options: its other arguments.

    Raises:
        UserError: for a class that cannot be built so.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        network: type[nn.Module] = MLP,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = build_inner(network, options, in_channels, num_classes, image_size)
        names = block_names(self.network)
        self.change(self.network, in_channels, image_size)
        self.blocks = tuple(f"network.{name}" for name in names)

    @abstractmethod
    def change(self, network: nn.Module, in_channels: int, image_size: ImageSize) -> None:
        """Change parts of the network in place, which keep their names."""

    def forward(self, x: Tensor) -> Tensor:
        """As the network."""
        outputs: Tensor = self.network(x)
        return outputs
