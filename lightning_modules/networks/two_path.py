"""Two pathways, each with a sensor of its own, that merge."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.networks.adapters import build_inner
from lightning_modules.networks.cifar_resnet import CifarResNet
from lightning_modules.networks.convolutional import AllCNN, DepthCNN
from lightning_modules.networks.layers import ImageSize
from lightning_modules.networks.resnet import ResNet
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.image_halves import join_halves

_CONVOLUTIONAL = (ResNet, CifarResNet, AllCNN, DepthCNN)
"""Networks that apply their blocks in order, average over positions, and end in a head."""


class TwoPathNetwork(nn.Module):
    """Two pathways of the same kind, for the left and the right half of images, which are summed.

    Kleinman, Achille & Soatto 2023, https://arxiv.org/abs/2210.04643, whose SResNet-18 is the
    default with `options: {block: pre}`; their n-layer networks are `network: DepthCNN` with n = 1,
    2, 3 and `merged_after: conv3`, `conv5` and `conv7`. Each pathway sees whole images, in which
    the other half is 0, the mean colour. For damage to one of the sensors see
    `datamodules.SensorDeficit` and `datamodules.Dissociation`.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        network: class of the network: `ResNet`, `CifarResNet`, `AllCNN` or `DepthCNN`.
        options: its other arguments.
        merged_after: name of the last block that each pathway has for itself.

    Raises:
        UserError: for another network, or a block that it has not below its head.

    Example:
        ```yaml
        class_path: lightning_modules.networks.TwoPathNetwork
        init_args: {network: lightning_modules.networks.ResNet, options: {width: 16}}
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        network: type[nn.Module] = ResNet,
        options: dict[str, Any] | None = None,
        merged_after: str = "layer2",
    ) -> None:
        super().__init__()
        # Two whole networks, of the second of which the upper blocks are not used.
        whole, other = (
            build_inner(network, options, in_channels, num_classes, image_size) for _ in range(2)
        )
        if not isinstance(whole, _CONVOLUTIONAL):
            kinds = ", ".join(kind.__name__ for kind in _CONVOLUTIONAL)
            raise UserError("network", value=network.__name__, fix=f"set one of {kinds}")
        names = list(whole.blocks)
        if merged_after not in names[:-1]:
            raise UserError(
                "merged_after", value=merged_after, fix=f"set one of {', '.join(names[:-1])}"
            )

        count = names.index(merged_after) + 1
        self.left = _first_blocks(whole, names[:count])
        self.right = _first_blocks(other, names[:count])
        for name in names[count:]:
            self.add_module(name, whole.get_submodule(name))
        self.blocks = ("left", "right", *names[count:])

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        nothing = torch.zeros_like(x)
        x = self.left(join_halves(x, nothing)) + self.right(join_halves(nothing, x))
        for name in self.blocks[2:-1]:
            x = self.get_submodule(name)(x)
        # A last 1x1 convolution commutes with the average.
        head = self.get_submodule("head")
        logits: Tensor = head(x.mean((2, 3), keepdim=isinstance(head, nn.Conv2d)))
        return logits.flatten(1)


def _first_blocks(network: nn.Module, names: list[str]) -> nn.Sequential:
    """Return some blocks of a network, under their names."""
    return nn.Sequential(OrderedDict((name, network.get_submodule(name)) for name in names))
