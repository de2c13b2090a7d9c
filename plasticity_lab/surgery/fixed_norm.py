"""A normalisation whose statistics are constants."""

import torch
from torch import Tensor, nn


class FixedNorm(nn.Module):
    """Subtracts a mean and divides by a deviation, both constants of a channel.

    They are 0 and 1, the identity, until `measure` sets them.

    Args:
        channels: of its inputs.

    Examples:
        >>> norm = FixedNorm(2)
        >>> norm.measure(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        >>> norm(torch.tensor([[3.0, 1.0]]))
        tensor([[0.7071, 1.0000]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(channels))
        self.register_buffer("deviation", torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Become the identity."""
        nn.init.zeros_(self.mean)
        nn.init.ones_(self.deviation)

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Set the statistics to those of inputs (batch, channels, …), or of tokens.

        Deviations are unbiased, and 1 of a channel that does not vary: a dead one stays 0, and
        passes on what it becomes if it is revived.
        """
        channels = x.movedim(self._axis(x), 0).flatten(1)
        deviation = channels.std(1)
        self.mean.copy_(channels.mean(1))
        self.deviation.copy_(torch.where(deviation < 1e-5, 1.0, deviation))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, …), or (batch, tokens, channels), to the same shape."""
        shape = [1] * x.ndim
        shape[self._axis(x)] = -1
        return (x - self.mean.view(shape).to(x)) / self.deviation.view(shape).to(x)

    @staticmethod
    def _axis(x: Tensor) -> int:
        return 2 if x.ndim == 3 else 1
