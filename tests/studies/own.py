"""Callbacks of one's own that promise, and say less than they are."""

from pytorch_lightning import Callback

from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Position


class Loud(Timed, Callback):
    """On in the second half."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Say no more than that it is on."""
        return "on" if now.epoch >= epochs // 2 else None


class Louder(Loud):
    """Another class."""
