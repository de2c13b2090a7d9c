"""Small networks with everything that a resume, or an intervention, can get wrong."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class SmallNet(nn.Module):
    """A convolution, batch norm, dropout (which draws from the global stream) and a head."""

    def __init__(
        self, in_channels: int, num_classes: int, norm: bool = True, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4, num_classes)
        self.blocks: tuple[str, ...] = ("conv", "head")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.norm(self.conv(x)).relu().mean((2, 3))))
        return logits


class TokenNet(SmallNet):
    """A network with a parameter of its own, and two layers that share theirs."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.token = nn.Parameter(torch.zeros(1))
        self.twin = nn.Linear(4, num_classes)
        self.twin.weight = self.head.weight

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.token


class SparePartNet(SmallNet):
    """A network with a layer that it never uses."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.spare = nn.Linear(4, num_classes)
        self.blocks = ()


class BranchingNet(SmallNet):
    """A network whose path depends on values."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class SilentNet(nn.Module):
    """A network with five hidden units that always fire, and three that never do."""

    def __init__(self, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_channels * image_size**2, 8)
        self.head = nn.Linear(8, num_classes)
        with torch.no_grad():
            self.hidden.bias[:5] = 30
            self.hidden.bias[5:] = -30

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden(x.flatten(1)).relu())
        return logits


class OnceNet(SmallNet):
    """A network that can be differentiated once."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = Once.apply(super().forward(x))
        return logits


class Once(torch.autograd.Function):
    """The identity, whose gradient has no derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return a copy."""
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is needed."""

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        """Return the gradient as it is."""
        return slope
