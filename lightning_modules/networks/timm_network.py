"""The networks of timm, with sizes from the data."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.networks.adapters import block_paths, build, check_name
from lightning_modules.networks.layers import ImageSize
from plasticity_lab.errors import UserError


class TimmNetwork(nn.Module):
    """A network of timm by its name, untrained unless `options` say `pretrained: true`.

    It is timm's own (`pip install "plasticity-lab[timm]"`), for the images' channels and size and
    with as many outputs as there are classes. Weights are downloaded only for `pretrained: true`.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data), for
            networks that depend on it.
        name: as timm lists it: `resnet18`, `vit_tiny_patch16_224`; for pretrained weights also with
            their tag, `vit_tiny_patch16_224.augreg_in21k`.
        options: further arguments, as `{patch_size: 4, drop_path_rate: 0.1}`.

    Raises:
        UserError: without timm; for another name, with the nearest ones; for options or a size that
            the network does not take.

    Example:
        ```yaml
        class_path: lightning_modules.networks.TimmNetwork
        init_args: {name: vit_tiny_patch16_224, options: {patch_size: 4}}
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
        if not find_spec("timm"):
            raise UserError(
                "TimmNetwork",
                problem="needs timm",
                fix='pip install "plasticity-lab[timm]"',
            )
        import timm

        # Weights have a tag after a dot.
        check_name(name.partition(".")[0], timm.list_models(), "timm")
        builder = partial(_create, timm.create_model, image_size)
        arguments = {"model_name": name, "in_chans": in_channels, "num_classes": num_classes}
        self.model = build(builder, name, arguments, options, image_size)
        self.blocks = tuple(block_paths("model", self.model, _around_the_last_layer(self.model)))

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        logits: Tensor = self.model(x)
        return logits


def _create(create: Callable[..., nn.Module], image_size: ImageSize, **arguments: Any) -> nn.Module:
    """Build a network for a size if it is one that takes a size, which only trying tells."""
    stream = torch.get_rng_state()
    try:
        return create(**{"img_size": image_size, **arguments})
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    torch.set_rng_state(stream)
    return create(**arguments)


def _around_the_last_layer(model: Any) -> list[nn.Module]:
    """Return the parts that hold the layer which makes the outputs, so that it is a block."""
    last = model.get_classifier()
    return [part for part in model.modules() if part is not last and last in list(part.modules())]
