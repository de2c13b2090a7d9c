"""Callbacks of one's own that promise, and say less than they are."""

from pytorch_lightning import Callback
from torch import nn

from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Position


class Loud(Timed, Callback):
    """On in the second half."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Say no more than that it is on."""
        return "on" if now.epoch >= epochs // 2 else None


class Lossy(Timed, Callback):
    """On in the second half, with a loss of which the text tells no argument."""

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Say no more than that it is on."""
        return now.epoch >= epochs // 2


class Louder(Loud):
    """Another class."""
