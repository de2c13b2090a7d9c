"""Networks of a user's own, each with something that an initialisation or a reset can get wrong."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.networks import SmallNet


class ZeroHead(SmallNet):
    """Its head begins at 0."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        nn.init.zeros_(self.head.weight)


class Attention(nn.Module):
    """Attention over the four quarters of an image."""

    blocks = ("attention", "head")

    def __init__(self, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        width = in_channels * (image_size // 2) ** 2
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[3] // 2
        quarters = torch.stack(
            [x[:, :, i : i + half, j : j + half].flatten(1) for i in (0, half) for j in (0, half)],
            1,
        )
        logits: Tensor = self.head(
            self.attention(quarters, quarters, quarters, need_weights=False)[0].mean(1)
        )
        return logits


class Normed(nn.Module):
    """Weight norm of the old and the new kind, and spectral norm."""

    blocks = ("old", "new", "spectral", "head")

    def __init__(self, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        self.old = nn.utils.weight_norm(nn.Linear(in_channels * image_size**2, 8))
        self.new = parametrizations.weight_norm(nn.Linear(8, 8))
        self.spectral = parametrizations.spectral_norm(nn.Linear(8, 8))
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(
            self.spectral(self.new(self.old(x.flatten(1)).relu()).relu()).relu()
        )
        return logits


class Lazy(nn.Module):
    """Takes its sizes from the data."""

    blocks = ("conv", "norm", "head")

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv, self.norm, self.head = (
            nn.LazyConv2d(4, 3, stride=2),
            nn.LazyBatchNorm2d(),
            nn.LazyLinear(num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.norm(self.conv(x))).flatten(1))
        return logits


class LazyHead(nn.Module):
    """Part of a network, whose input is no image."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.linear = nn.LazyLinear(outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x)
        return logits


class WithLazyHead(nn.Module):
    """Takes its head as an argument."""

    blocks = ("conv", "head")

    def __init__(self, in_channels: int, head: nn.Module) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(in_channels, 12, 3), head

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(x).relu().mean((2, 3)))
        return logits


class Frozen(nn.Module):
    """Nothing of it is trained."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(256, num_classes).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(1))
        return logits


class Double(nn.Module):
    """Chooses a precision itself."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(256, num_classes).double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(1))
        return logits


class Features(nn.Module):
    """Returns no logits."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class WithFeatures(SmallNet):
    """Returns more than logits in training."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return (logits, x) if self.training else logits  # type: ignore[return-value]
