"""The networks of torchvision, with sizes from the data."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torchvision
from torch import Tensor, nn

from lightning_modules.networks.adapters import block_paths, build, check_name
from lightning_modules.networks.layers import ImageSize, height_and_width
from plasticity_lab.errors import UserError


class TorchvisionNetwork(nn.Module):
    """A network of torchvision by its name, untrained unless `options` names weights.

    It is torchvision's own, with as many outputs as there are classes, and with a first convolution
    for the images' channels, which torchvision's initialisation draws like any other. Auxiliary
    outputs are off.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data), for
            networks that depend on it.
        name: as torchvision lists it: `resnet18`, `vgg11_bn`, `vit_b_16`.
        options: further arguments, as `{zero_init_residual: true}`.

    Raises:
        UserError: for another name, with the nearest ones, or for options that the network does not
            take.

    Example:
        ```yaml
        class_path: lightning_modules.networks.TorchvisionNetwork
        init_args: {name: resnet18, options: {zero_init_residual: true}}
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        name: str,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_name(name, torchvision.models.list_models(module=torchvision.models), "torchvision")
        builder = torchvision.models.get_model_builder(name)
        arguments = {**_sizes(builder, name, image_size), "num_classes": num_classes}
        with _first_convolution_of(in_channels):
            self.model = build(builder, name, arguments, options, image_size)
        self.blocks = tuple(block_paths("model", self.model))

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        logits: Tensor = self.model(x)
        return logits


def _sizes(builder: Any, name: str, image_size: ImageSize) -> Mapping[str, Any]:
    """Return what a network has to be told besides channels and classes."""
    kind = inspect.signature(builder).return_annotation
    parameters = inspect.signature(kind).parameters
    if "image_size" in parameters and not isinstance(image_size, int):
        raise UserError(
            name,
            value=f"image size {image_size}",
            problem="takes square images only",
            fix="set size: of the data set to one number, or use another network",
        )
    sizes = {
        "image_size": image_size,
        "input_size": height_and_width(image_size),
        "aux_logits": False,
        # What it does by default, with a warning.
        "init_weights": True,
    }
    return {name: value for name, value in sizes.items() if name in parameters}


@contextmanager
def _first_convolution_of(channels: int) -> Iterator[None]:
    """Let the first convolution of three channels that is built take as many as the images have."""
    original: Any = nn.Conv2d.__init__

    def first(layer: nn.Conv2d, in_channels: int, *args: Any, **kwargs: Any) -> None:
        if in_channels == 3:
            setattr(nn.Conv2d, "__init__", original)  # noqa: B010
            in_channels = channels
        original(layer, in_channels, *args, **kwargs)

    setattr(nn.Conv2d, "__init__", first)  # noqa: B010
    try:
        yield
    finally:
        setattr(nn.Conv2d, "__init__", original)  # noqa: B010
