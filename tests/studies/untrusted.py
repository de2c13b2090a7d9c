"""Classes whose epochs must not be shared."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from callbacks import OptimizerReset


class Inheriting(OptimizerReset):
    """Inherits a promise that it may not keep."""


class HiddenCosine(CosineAnnealingLR):
    """Its length is nowhere in the config."""

    def __init__(self, optimizer: Optimizer, share: float) -> None:
        super().__init__(optimizer, T_max=round(12 * share))
