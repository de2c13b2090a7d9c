"""What optimizers remember of parameters."""

from collections.abc import Iterable

from torch import Tensor
from torch.optim import Optimizer


def forget(optimizers: Iterable[Optimizer], parameters: Iterable[Tensor]) -> None:
    """Drop what optimizers remember of some parameters (moments, step counts), as if they had just been given them."""
    for parameter in parameters:
        for optimizer in optimizers:
            optimizer.state.pop(parameter, None)
