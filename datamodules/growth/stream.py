"""Training data whose stages replace each other."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from datamodules.growth.data_stages import DataStages
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator

Recurrence: TypeAlias = Literal["none", "cycle", "redraw"]
"""What follows the last stage of a pass: nothing, the same stages again, or others drawn anew."""


class Stream(DataStages):
    """Data of which each stage has its own: those of the stage before are gone.

    Validation and test split show what belongs to the stage, too: the images of its classes, as its
    `stage_transforms` make them. `val/accuracy` is that of the present stage; what is left of
    earlier ones is measured by `callbacks.StageAccuracy`.

    Your own: subclass, implement `arrange`, name the class in YAML.

    Args:
        at: as `DataStages`.
        until: as `DataStages`.
        every: as `DataStages`.
    """


class Passes:
    """Windows over an order of things, in passes: the stages of a stream, or their classes.

    Window k of a pass begins `size - overlap` things after window k - 1.

    Args:
        name: what is ordered, in the key of its draws.
        things: how many there are.
        size: how many a window has.
        overlap: how many of them it shares with the one before it.
        recurrence: what follows the last window.
        seed: the run's seed.

    Raises:
        UserError: for windows that do not fit.

    Attributes:
        in_pass: windows in a pass.
        count: windows in all; None if there are as many as one asks for.
    """

    def __init__(
        self, name: str, things: int, size: int, overlap: int, recurrence: Recurrence, seed: int
    ) -> None:
        self.name, self.things, self.size, self.seed = name, things, size, seed
        self.stride, self.recurrence = size - overlap, recurrence
        self.in_pass = 1 + (things - size) // self.stride
        self.count = self.in_pass if recurrence == "none" else None

    def window(self, number: int) -> Tensor:
        """Return the things of a window, int64, in the order drawn."""
        turn, place = divmod(number, self.in_pass)
        counters = [turn] if turn and self.recurrence == "redraw" else []
        order = torch.randperm(self.things, generator=generator(self.seed, self.name, *counters))
        return order[place * self.stride : place * self.stride + self.size]


def check_overlap(overlap: int, size: int) -> None:
    """Raise UserError unless stages can share so many."""
    if not 0 <= overlap < size:
        raise UserError(
            "overlap",
            value=overlap,
            problem=f"a stage has {size}, of which at least one is new",
            fix=f"set 0 to {size - 1}",
        )
