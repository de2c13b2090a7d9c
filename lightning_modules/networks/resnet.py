"""Residual networks of basic blocks."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks.layers import Norm, check_sizes, conv, conv_block, normalisation


def every(stride: int, x: Tensor) -> Tensor:
    """Keep every `stride`-th row and column of (batch, channels, height, width).

    A 1x1 convolution of them is the strided 1x1 convolution of shortcuts, whose backward pass
    corrupts memory in torch 2.15 on a CPU (8 channels stored last, odd batches, two threads).
    """
    return x if stride == 1 else x[:, :, ::stride, ::stride]


class PostActivation(nn.Module):
    """Two 3x3 convolutions and a shortcut, activated after the sum (He et al. 2015).

    https://arxiv.org/abs/1512.03385
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = (
            conv(inputs, outputs, 3, stride, norm),
            normalisation(norm, outputs),
        )
        self.conv2, self.norm2 = conv(outputs, outputs, 3, 1, norm), normalisation(norm, outputs)
        self.stride, self.shortcut = stride, nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                conv(inputs, outputs, 1, 1, norm), normalisation(norm, outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        out: Tensor = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(out + self.shortcut(every(self.stride, x)))


class PreActivation(nn.Module):
    """Normalisation and ReLU before each convolution (He et al. 2016).

    The shortcut's 1x1 convolution takes the activated input.

    He et al. 2016, https://arxiv.org/abs/1603.05027, in the form of the critical-period papers'
    code: no normalisation in the shortcut, and none after the last block.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.norm1, self.conv1 = normalisation(norm, inputs), conv(inputs, outputs, 3, stride, norm)
        self.norm2, self.conv2 = normalisation(norm, outputs), conv(outputs, outputs, 3, 1, norm)
        self.stride = stride
        self.shortcut = (
            conv(inputs, outputs, 1, 1, norm) if stride != 1 or inputs != outputs else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        activated = F.relu(self.norm1(x))
        out: Tensor = self.conv2(F.relu(self.norm2(self.conv1(activated))))
        return out + (x if self.shortcut is None else self.shortcut(every(self.stride, activated)))


class ResNet(nn.Module):
    """ResNet of four modules of `depth` basic blocks, with 1, 2, 4 and 8 times `width` channels.

    ResNet-18 is depth 2, width 64 (He et al. 2015, https://arxiv.org/abs/1512.03385). At least four
    networks are published as "ResNet-18" in this field: state stem, pool and width beside every
    number. Kuangliu's CIFAR form is the default; Ash & Adams 2020 released `width: 16`; its
    ReScience reproduction and DASH add `pool: true` to the default; torchvision's is `stem:
    conv7x7s2, pool: true`.

    Args:
        in_channels: image channels (set from the data).
        num_classes: classes (set from the data).
        depth: basic blocks in each of the four modules.
        width: channels of the first module.
        stem: first convolution, kernel and stride.
        pool: 3x3 max-pooling with stride 2 after the stem.
        norm: `batch`, `group` (groups of 16 channels) or `none`.
        block: activation after (`post`) or before (`pre`) the convolutions.
    """

    blocks = ("stem", "layer1", "layer2", "layer3", "layer4", "head")

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int = 2,
        width: int = 64,
        stem: Literal["conv3x3", "conv3x3s2", "conv7x7s2"] = "conv3x3",
        pool: bool = False,
        norm: Norm = "batch",
        block: Literal["post", "pre"] = "post",
    ) -> None:
        super().__init__()
        check_sizes(depth=depth, width=width)
        kernel, stride = {"conv3x3": (3, 1), "conv3x3s2": (3, 2), "conv7x7s2": (7, 2)}[stem]
        self.stem = conv_block(in_channels, width, kernel, stride, norm)
        if pool:
            self.stem.append(nn.MaxPool2d(3, 2, padding=1))
        kind = PostActivation if block == "post" else PreActivation
        channels = width
        for module in range(4):
            outputs, stride = width * 2**module, 1 if module == 0 else 2
            layers = [
                kind(
                    channels if index == 0 else outputs, outputs, stride if index == 0 else 1, norm
                )
                for index in range(depth)
            ]
            self.add_module(f"layer{module + 1}", nn.Sequential(*layers))
            channels = outputs
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        for name in self.blocks[:-1]:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits
