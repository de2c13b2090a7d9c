"""Classes whose epochs must not be shared."""

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from callbacks import OptimizerReset
from datamodules import UniformGrowth


class Inheriting(OptimizerReset):
    """Inherits a promise that it may not keep, as it hooks into more than its moments."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None: ...


class Reversed(UniformGrowth):
    """An order that depends on the length of the run, which no answer tells."""

    def order(self, members: Tensor, seed: int, epoch: int, epochs: int) -> Tensor:
        ordered = super().order(members, seed, epoch, epochs)
        return ordered.flip(0) if 2 * epoch > epochs else ordered


class HiddenCosine(CosineAnnealingLR):
    """A schedule of one's own, whose length follows from its argument and its source."""

    def __init__(self, optimizer: Optimizer, share: float) -> None:
        super().__init__(optimizer, T_max=round(12 * share))
