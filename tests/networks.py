"""A small network with everything that a resume can get wrong."""

from torch import Tensor, nn


class SmallNet(nn.Module):
    """A convolution, batch norm, dropout (which draws from the global stream) and a head."""

    def __init__(self, in_channels: int, num_classes: int, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4, num_classes)
        self.blocks = ("conv", "head")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.norm(self.conv(x)).relu().mean((2, 3))))
        return logits
