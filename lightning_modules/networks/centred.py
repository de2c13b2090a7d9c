"""A network less its initial outputs."""

from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize
from lightning_modules.networks.wrapping import WrappingNetwork
from plasticity_lab.surgery.fresh_copy import copy_network


class CentredNetwork(WrappingNetwork):
    """f(x) - f0(x), with f0 the network as it is initialised: all outputs begin at 0.

    Lee et al. 2020, https://arxiv.org/abs/2007.15801, whose networks are so closer to their kernels
    and to an average of many.

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
        """Keep a copy that is not trained; the network itself stays as it is."""
        self.initial = copy_network(network).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """As the network, less what it gave at the beginning."""
        outputs: Tensor = self.network(x) - self.initial(x)
        return outputs
