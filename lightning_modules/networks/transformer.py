"""Parts of a vision transformer, each of which draws its own values."""

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks.layers import Elementwise, activation_layer

Preset = Literal["standard", "mu_small"]

_DEVIATION = 0.02


class Projection(nn.Linear):
    """A linear layer whose weights are drawn by a preset, with biases of 0.

    Args:
        inputs: features.
        outputs: features.
        preset: `standard`, or `mu_small` with variance 1 / inputs.
        readout: whether it is the network's last one, of variance 1 / inputs² in `mu_small`.
    """

    def __init__(self, inputs: int, outputs: int, preset: Preset, readout: bool = False) -> None:
        # Before the base class, which draws.
        self.deviation = _DEVIATION
        if preset == "mu_small":
            self.deviation = 1 / inputs if readout else inputs**-0.5
        super().__init__(inputs, outputs)

    def reset_parameters(self) -> None:
        """Draw weights anew."""
        nn.init.normal_(self.weight, std=self.deviation)
        nn.init.zeros_(self.bias)


class Embedding(nn.Module):
    """Patches of images as tokens after a class token, with learned positions.

    Args:
        in_channels: of images.
        patches: of an image.
        patch: side in pixels.
        width: features of a token.
    """

    def __init__(self, in_channels: int, patches: int, patch: int, width: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, patches + 1, width))
        self.patches = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw class token and positions anew."""
        nn.init.normal_(self.class_token, std=_DEVIATION)
        nn.init.normal_(self.positions, std=_DEVIATION)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, tokens, width)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(x), -1, -1)
        return torch.cat([first, tokens], 1) + self.positions


class Attention(nn.Module):
    """Self-attention of several heads.

    Args:
        width: features of a token.
        heads: how many.
        preset: `standard` divides logits by √d, `mu_small` by d, the width of a head.
    """

    def __init__(self, width: int, heads: int, preset: Preset) -> None:
        super().__init__()
        self.heads, size = heads, width // heads
        self.scale = 1 / size if preset == "mu_small" else size**-0.5
        # Apart, so that what acts on layers can tell queries and keys from values.
        self.q, self.k, self.v = (Projection(width, width, preset) for _ in range(3))
        self.out = Projection(width, width, preset)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) to the same shape."""
        batch, tokens, width = x.shape
        heads = (batch, tokens, self.heads, width // self.heads)
        q, k, v = (layer(x).view(heads).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        merged: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return merged


class EncoderBlock(nn.Module):
    """Attention and a hidden layer, each after layer norm and added to its input.

    Args:
        width: features of a token.
        heads: of attention.
        units: of the hidden layer.
        activation: of the hidden layer.
        preset: how values are drawn and attention is scaled.
    """

    def __init__(
        self, width: int, heads: int, units: int, activation: Elementwise, preset: Preset
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, preset)
        self.norm2 = nn.LayerNorm(width)
        layers: dict[str, nn.Module] = {
            "linear1": Projection(width, units, preset),
            "activation": activation_layer(activation),
            "linear2": Projection(units, width, preset),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) to the same shape."""
        x = x + self.attention(self.norm1(x))
        changed: Tensor = x + self.mlp(self.norm2(x))
        return changed
