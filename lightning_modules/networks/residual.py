"""Basic blocks of residual networks."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks.layers import (
    Activation,
    Elementwise,
    Norm,
    activation_layer,
    conv,
    normalisation,
    units_after,
)


def every(stride: int, x: Tensor) -> Tensor:
    """Keep every `stride`-th row and column of (batch, channels, height, width).

    A 1x1 convolution of them is the strided 1x1 convolution of shortcuts, whose backward pass
    corrupts memory in torch 2.15 on a CPU (8 channels stored last, odd batches, two threads).
    """
    return x if stride == 1 else x[:, :, ::stride, ::stride]


class ZeroChannels(nn.Module):
    """Appends channels of zeros (He et al. 2015, option A; at the end, as in their Torch code)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, inputs + channels, height, width)."""
        return F.pad(x, (0, 0, 0, 0, 0, self.channels))


class PostActivation(nn.Module):
    """Two 3x3 convolutions and a shortcut, activated after the sum (He et al. 2015).

    https://arxiv.org/abs/1512.03385. Between the two there are `inner` channels, by default as many
    as at its end.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        norm: Norm,
        activation: Elementwise = "relu",
        shortcut: Literal["projection", "padding"] = "projection",
        inner: int | None = None,
    ) -> None:
        super().__init__()
        inner = inner or outputs
        self.conv1, self.norm1 = conv(inputs, inner, 3, stride, norm), normalisation(norm, inner)
        self.conv2, self.norm2 = conv(inner, outputs, 3, 1, norm), normalisation(norm, outputs)
        self.stride, self.shortcut = stride, nn.Sequential()
        if inputs != outputs and shortcut == "padding":
            self.shortcut = nn.Sequential(ZeroChannels(outputs - inputs))
        elif (stride != 1 or inputs != outputs) and shortcut == "projection":
            self.shortcut = nn.Sequential(
                conv(inputs, outputs, 1, 1, norm), normalisation(norm, outputs)
            )
        self.activation = activation_layer(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        out: Tensor = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))
        activated: Tensor = self.activation(out + self.shortcut(every(self.stride, x)))
        return activated


class PreActivation(nn.Module):
    """Normalisation and activation before each convolution (He et al. 2016).

    The shortcut's 1x1 convolution takes the activated input.

    He et al. 2016, https://arxiv.org/abs/1603.05027, in the form of the critical-period papers'
    code: no normalisation in the shortcut, and none after the last block.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, norm: Norm, activation: Activation = "relu"
    ) -> None:
        super().__init__()
        activated, hidden = units_after(activation, inputs), units_after(activation, outputs)
        self.norm1 = normalisation(norm, inputs)
        self.conv1 = conv(activated, outputs, 3, stride, norm)
        self.norm2, self.conv2 = normalisation(norm, outputs), conv(hidden, outputs, 3, 1, norm)
        self.stride = stride
        self.shortcut = (
            conv(activated, outputs, 1, 1, norm) if stride != 1 or inputs != outputs else None
        )
        self.activation = activation_layer(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        activated = self.activation(self.norm1(x))
        out: Tensor = self.conv2(self.activation(self.norm2(self.conv1(activated))))
        return out + (x if self.shortcut is None else self.shortcut(every(self.stride, activated)))
