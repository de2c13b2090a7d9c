"""A network whose head can be given fresh weights without changing what it computes."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize
from lightning_modules.networks.wrapping import WrappingNetwork
from plasticity_lab.measurements.features import last_layer


class InjectableHead(nn.Module):
    """A layer h, and two copies of it that add and subtract the same until one is trained.

    Before the injection it computes h(x), and h is trained. From then on it computes
    h(x) + h'(x) - h''(x), of which h' alone is trained (Nikishin et al. 2023).

    Args:
        layer: h.
    """

    injected: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.base = layer
        self.trained, self.subtracted = copy.deepcopy(layer), copy.deepcopy(layer)
        self.register_buffer("injected", torch.tensor(False))
        self.choose_trained()

    def choose_trained(self) -> None:
        """Let the part require gradients that is trained now, and no other."""
        injected = bool(self.injected)
        self.base.requires_grad_(not injected)
        self.trained.requires_grad_(injected)
        self.subtracted.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        outputs: Tensor = self.base(x)
        if not self.injected:
            return outputs
        # In this order, since the copies cancel each other to the bit while they are equal.
        added: Tensor = self.trained(x) - self.subtracted(x)
        return outputs + added

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.choose_trained()


class InjectableNetwork(WrappingNetwork):
    """A network whose head `callbacks.PlasticityInjection` can give fresh weights.

    Nikishin et al. 2023, https://arxiv.org/abs/2305.15555. Until then it computes what the network
    computes; its control is this network without the callback.

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
        """Put an `InjectableHead` in the place of the head."""
        head = last_layer(network)
        network.set_submodule(head, InjectableHead(network.get_submodule(head)))
