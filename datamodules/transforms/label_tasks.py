"""What tasks that change class labels need."""

from datamodules.datasets.split import Split
from datamodules.transforms.requirements import need_classes
from datamodules.transforms.stage_transform import StageTransform
from plasticity_lab.errors import UserError


class LabelTransform(StageTransform):
    """A task that changes class labels."""

    def check(self, train: Split) -> None:
        """Refuse another task than classification."""
        need_classes(self, train)


def check_share(fraction: float, meaning: str) -> None:
    """Raise UserError for a share outside [0, 1]."""
    if not 0 <= fraction <= 1:
        raise UserError("fraction", value=fraction, fix=f"set {meaning}, in [0, 1]")
