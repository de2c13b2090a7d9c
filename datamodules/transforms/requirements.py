"""What the examples of a training split must be for what acts on them."""

from datamodules.datasets.split import Split
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Timed


def need_images(part: Timed, train: Split) -> None:
    """Raise UserError, in the name of a part of a run, unless the inputs are images."""
    if not train.holds_images:
        raise UserError(
            part.section,
            value=repr(part),
            problem=f"needs images, and inputs are {train.dtype} {train.shape}",
            fix="remove it",
        )


def need_classes(part: Timed, train: Split) -> None:
    """Raise UserError, in the name of a part of a run, unless the targets are classes."""
    if not train.classes:
        raise UserError(
            part.section,
            value=repr(part),
            problem="changes class labels, and the data have no classes",
            fix="remove it",
        )
