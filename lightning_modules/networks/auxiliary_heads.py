"""A network with further linear heads on its last features, which are no part of its outputs."""

from typing import Any

from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize, height_and_width
from lightning_modules.networks.mlp import MLP
from lightning_modules.networks.wrapping import WrappingNetwork
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import last_layer, record_last_features
from plasticity_lab.surgery.construction import run_blank


class AuxiliaryHeadsNetwork(WrappingNetwork):
    """A network with linear heads on its last hidden features, for `callbacks.InFeR` to train.

    Lyle et al. 2022, https://arxiv.org/abs/2204.09560. It computes what the network computes; its
    control is this network without the callback. The heads are its layer `auxiliary`, which is in
    none of its `blocks`: `last: 1` is the network's own head.

    Without a penalty the gradient of the heads is 0, and weight decay acts on them as on all else.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        network: its class.
        options: its other arguments.
        heads: number of heads, 1 or more; the paper's is 10.

    Raises:
        UserError: for a class that cannot be built so, or without a last layer; for no heads.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        network: type[nn.Module] = MLP,
        options: dict[str, Any] | None = None,
        heads: int = 10,
    ) -> None:
        super().__init__(in_channels, num_classes, image_size, network, options)
        if heads < 1:
            raise UserError("heads", value=heads, fix="set 1 or more; the paper's is 10")
        inner = self.network
        width = _features(inner, (in_channels, *height_and_width(image_size)))

        # Below the network, whose head stays the last of all layers: `MuonAdamW` goes by that.
        del self.network
        self.auxiliary = nn.Linear(width, heads)
        self.network = inner

    def change(self, network: nn.Module, in_channels: int, image_size: ImageSize) -> None:
        """Leave it as it is."""

    def forward(self, x: Tensor) -> Tensor:
        """As the network; the heads are called too, for whoever records what they give out."""
        with record_last_features(self.network) as features:
            outputs: Tensor = self.network(x)
        self.auxiliary(features[-1])
        # Several processes wait for the gradient of every parameter, so that there must be one.
        return outputs + 0 * (self.auxiliary.weight.sum() + self.auxiliary.bias.sum())


def _features(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Return how many last features a network has; UserError for one whose last layer is idle."""
    with record_last_features(network) as features:
        run_blank(network, shape)
    if not features:
        raise UserError(
            "network",
            value=type(network).__name__,
            problem=f"its last layer '{last_layer(network)}' is never called in forward()",
            fix="set `blocks` of the network to its layers in order, the head last",
        )
    return features[-1].shape[1]
