"""The moment at which an epoch's metrics are known and no checkpoint holds them yet."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping


class EpochEnd(EarlyStopping):
    """A callback whose `on_train_epoch_end` runs after the module's and before checkpoints.

    Lightning calls this hook of most callbacks before the module's, which logs the epoch's accuracy
    there, and makes an exception for `EarlyStopping` and `Checkpoint` only. Nothing else of
    `EarlyStopping` is left.

    Args:
        monitor: the metric that is read.
    """

    def __init__(self, monitor: str) -> None:
        super().__init__(monitor)

    @property
    def state_key(self) -> str:
        """What its state is kept by in checkpoints."""
        return type(self).__qualname__

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None: ...

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None: ...

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore nothing."""
