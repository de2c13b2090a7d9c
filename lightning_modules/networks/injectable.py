"""A network whose head can be given fresh weights without changing what it computes."""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.networks.adapters import build_inner
from lightning_modules.networks.layers import ImageSize, height_and_width
from lightning_modules.networks.mlp import MLP
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.parameter_groups import block_names
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.surgery.construction import run_blank
from plasticity_lab.surgery.injectable_head import InjectableHead
from plasticity_lab.surgery.split_network import split_network


class InjectableNetwork(nn.Module):
    """A network whose head `callbacks.PlasticityInjection` can give fresh weights.

    Nikishin et al. 2023, https://arxiv.org/abs/2305.15555. Until then it computes what the network
    computes; its control is this network without the callback. The head is the last blocks of the
    network and all that comes between and after them, and is one block, `head`, of this network;
    what lies below is its `encoder`. The paper's head is the last two of five layers.

    The head holds two layers with weights or more: of a single linear layer, h + h' - h'' is a
    linear layer too, with the same gradient, and an injection is an optimizer reset.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        network: its class.
        options: its other arguments.
        last: number of blocks with parameters in the head, from the top of the network.

    Raises:
        UserError: for a class that cannot be built so; for a network that cannot be parted there,
            as `surgery.split_network`; for a head with one layer, or one that draws random numbers,
            such as dropout, which would differ between its copies.

    Example:
        ```yaml
        class_path: lightning_modules.networks.InjectableNetwork
        init_args: {network: lightning_modules.networks.ResNet, options: {width: 16}, last: 2}
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        network: type[nn.Module] = MLP,
        options: dict[str, Any] | None = None,
        last: int = 2,
    ) -> None:
        super().__init__()
        inner = build_inner(network, options, in_channels, num_classes, image_size)
        shape = (in_channels, *height_and_width(image_size))
        run_blank(inner, shape)  # lazy layers take their sizes from it

        names = [name for name in block_names(inner) if _has_parameters(inner.get_submodule(name))]
        _check_last(inner, names, last)
        try:
            self.encoder, head = split_network(inner, names[-last:])
            _check_draws_nothing(inner, self.encoder, head, shape)
        except UserError as error:
            raise error.within(f"last: {last}") from error
        self.head = InjectableHead(head)
        called = {name for name, _ in self.encoder.named_modules()}
        self.blocks = (*(f"encoder.{name}" for name in names[:-last] if name in called), "head")

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        logits: Tensor = self.head(self.encoder(x))
        return logits


def _has_parameters(layer: nn.Module) -> bool:
    return next(layer.parameters(), None) is not None


def _check_last(network: nn.Module, names: list[str], last: int) -> None:
    """Refuse more blocks than there are, and blocks that are one layer."""
    kind = type(network).__name__
    if not 1 <= last <= len(names):
        raise UserError(
            "last", value=last, problem=f"{kind} has {len(names)} blocks ({', '.join(names)})"
        )
    layers = [_layers_with_weights(network.get_submodule(name)) for name in names]
    if sum(layers[-last:]) < 2:
        enough = [count for count in range(last, len(names) + 1) if sum(layers[-count:]) >= 2]
        raise UserError(
            "last",
            value=last,
            problem=(
                f"the head of {kind} ({', '.join(names[-last:])}) is one linear layer, of which an "
                "injection is an optimizer reset"
            ),
            fix=f"set last: {enough[0]}" if enough else "use a network with a hidden layer",
        )


def _layers_with_weights(block: nn.Module) -> int:
    """Return how many layers of a block have a matrix or kernels."""
    return sum(
        any(parameter.ndim > 1 for parameter in layer.parameters(recurse=False))
        for layer in block.modules()
    )


def _check_draws_nothing(
    network: nn.Module, encoder: nn.Module, head: nn.Module, shape: tuple[int, ...]
) -> None:
    """Refuse a head that draws random numbers in training."""
    device = next((value.device for value in head.parameters()), torch.device("cpu"))
    # Two images, since batch norm wants more than one value.
    with preserve_state(network), torch.no_grad():
        features = encoder(torch.zeros(2, *shape, device=device))
        before = torch.get_rng_state()
        head.train()(features)
        drawn = not torch.equal(before, torch.get_rng_state())
    if drawn:
        raise UserError(
            type(network).__name__,
            problem="its head draws random numbers in training, which its copies would not share",
            fix="set dropout to 0, or choose a smaller head",
        )
