"""Images as the network gets them."""

import torch
from torch import Tensor


class ChannelNormalisation:
    """Gives images in grey levels mean 0 and deviation 1 in every channel.

    Args:
        mean: float32 (channels,), what becomes 0.
        std: float32 (channels,), what becomes 1.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.mean, self.std = mean, std
        self._shift, self._scale = mean[:, None, None], (1 / std)[:, None, None]

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise (examples, channels, height, width)."""
        return (images - self._shift) * self._scale

    def to(self, device: torch.device) -> "ChannelNormalisation":
        """Return it for images on a device."""
        return ChannelNormalisation(self.mean.to(device), self.std.to(device))
