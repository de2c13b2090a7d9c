"""Another data set than that of the tiny run."""

from typing import Literal

from datamodules import Digits, Split, TensorSplit


class FlippedDigits(Digits):
    """Digits upside down, which no run is trained on.

    Args:
        subset: as `Digits`.
        validation: as `Digits`.
    """

    def read(self, split: Literal["train", "test"]) -> Split:
        upright = super().read(split)
        return TensorSplit(upright.tensor().flip(2), upright.targets, [*upright.classes])
