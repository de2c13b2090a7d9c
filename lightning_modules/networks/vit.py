"""A vision transformer for small images."""

from math import prod
from typing import Literal

from torch import Tensor, nn

from lightning_modules.networks.layers import ImageSize, check_sizes, height_and_width
from lightning_modules.networks.transformer import Embedding, EncoderBlock, Preset, Projection
from plasticity_lab.errors import UserError


class ViT(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) for small images.

    https://arxiv.org/abs/2010.11929

    Patches, a class token and learned positions; `depth` encoder blocks with layer norm before
    attention and before the hidden layer; layer norm; a linear layer of the class token. The
    defaults are of DeiT-Ti's width (Touvron et al. 2021) with half its depth. There is no dropout.

    Presets:

    * `standard`: as DeiT. Weights of linear layers, class token and positions from N(0, 0.02²),
      biases 0; attention logits q·k / √d, with d the width of a head.
    * `mu_small`: as µP (Yang et al. 2022, https://arxiv.org/abs/2203.03466, table 3 and definition
      4.1), whose outputs begin small, at 1 / √width. Weights of hidden linear layers from
      N(0, 1 / inputs), of the head from N(0, 1 / inputs²), class token and positions from
      N(0, 0.02²), biases 0; attention logits q·k / d. µP leaves constant factors open; here they
      are 1. Learning rates are not set by it: µP divides those of hidden layers and the head by
      `width` with Adam.

    In both the patches' convolution is drawn by torch's own rule, and layer norms are 1 and 0.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        image_size: height and width of the images, one number for squares (set from the data).
        patch: side of a patch in pixels, which divides height and width.
        depth: encoder blocks.
        width: features of a token, a multiple of `heads`.
        heads: of attention.
        mlp_ratio: units of a hidden layer over `width`.
        activation: of hidden layers: `gelu` as in the paper, `relu`, `leaky_relu` or `tanh`.
        preset: how values are drawn and attention is scaled.

    Raises:
        UserError: for patches that do not fit the images, or heads that do not fit the width.

    Example:
        ```yaml
        class_path: lightning_modules.networks.ViT
        init_args: {patch: 4, depth: 2, width: 32, heads: 2, preset: mu_small}
        ```
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        patch: int = 4,
        depth: int = 6,
        width: int = 192,
        heads: int = 3,
        mlp_ratio: int = 4,
        activation: Literal["gelu", "relu", "leaky_relu", "tanh"] = "gelu",
        preset: Preset = "standard",
    ) -> None:
        super().__init__()
        check_sizes(patch=patch, depth=depth, width=width, heads=heads, mlp_ratio=mlp_ratio)
        sides = height_and_width(image_size)
        if any(side % patch for side in sides):
            raise UserError(
                "patch",
                value=patch,
                problem=f"does not divide images of {sides[0]} x {sides[1]} pixels",
                fix="set a divisor of both",
            )
        if width % heads:
            raise UserError(
                "heads", value=heads, problem=f"does not divide width: {width}", fix="set a divisor"
            )
        patches = prod(side // patch for side in sides)
        self.embedding = Embedding(in_channels, patches, patch, width)
        for number in range(1, depth + 1):
            block = EncoderBlock(width, heads, mlp_ratio * width, activation, preset)
            self.add_module(f"block{number}", block)
        self.norm = nn.LayerNorm(width)
        self.head = Projection(width, num_classes, preset, readout=True)
        blocks = [f"block{number}" for number in range(1, depth + 1)]
        self.blocks = ("embedding", *blocks, "norm", "head")

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        for name in self.blocks[:-1]:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.head(x[:, 0])
        return logits
