"""What tasks that change class labels need."""

from datamodules.datasets.split import Split
from datamodules.transforms.stage_transform import StageTransform
from plasticity_lab.errors import UserError


class LabelTransform(StageTransform):
    """A task that changes class labels."""

    def check(self, train: Split) -> None:
        """Refuse another task than classification."""
        if not train.classes:
            raise UserError(
                "stage_transforms",
                value=repr(self),
                problem="changes class labels, and the data have no classes",
                fix="remove it",
            )


def check_share(fraction: float, meaning: str) -> None:
    """Raise UserError for a share outside [0, 1]."""
    if not 0 <= fraction <= 1:
        raise UserError("fraction", value=fraction, fix=f"set {meaning}, in [0, 1]")
