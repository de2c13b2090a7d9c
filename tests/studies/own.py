"""Callbacks of one's own that promise, and say less than they are."""

from pytorch_lightning import Callback

from plasticity_lab.timing import Epoch


class Loud(Callback):
    """On in the second half."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def in_force(self, epoch: Epoch) -> str | None:
        """Say no more than that it is on."""
        return "on" if epoch.now.epoch >= epoch.epochs // 2 else None


class Louder(Loud):
    """Another class."""

    def in_force(self, epoch: Epoch) -> str | None:
        """Say the same."""
        return super().in_force(epoch)
