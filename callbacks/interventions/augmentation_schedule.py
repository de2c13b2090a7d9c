"""Augmentation over time."""

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Level
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError


class AugmentationSchedule(Level):
    """Augmentation as a function of time (Golatkar et al. 2019, https://arxiv.org/abs/1905.13277).

    The data module looks the value up for every batch, so that it is right from the first batch of
    its epoch. Changes: the share of training images that are augmented. Keeps: parameters,
    normalisation statistics, optimizer state, learning-rate clock. Random draws do not depend on
    the level: a crop is the same whichever share is active.

    Args:
        levels: `{moment: share}` in [0, 1], each image drawing for itself; 1 is on (as before the
            first moment), 0 is off.

    Raises:
        UserError: for a share outside [0, 1], or data without augmentation or with a window for it.

    Example:
        ```yaml
        class_path: callbacks.AugmentationSchedule
        init_args: {levels: {0ep: 1, 100ep: 0}}
        ```
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if out_of_range := [value for _, value in self.levels.entries if not 0 <= value <= 1]:
            raise UserError(
                "levels", value=out_of_range[0], fix="set the share of images to augment, in [0, 1]"
            )

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Hand the schedule to the data module."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule) or data.augmentation is None:
            raise UserError(
                "AugmentationSchedule",
                problem="the data have no augmentation",
                fix="add data.init_args.augmentation, or remove it",
            )
        if data.augmentation_during:
            raise UserError(
                "AugmentationSchedule",
                value="augmentation_during",
                problem=f"{data.augmentation_during} sets a window for the same augmentation",
                fix="remove one of them",
            )
        data.schedule.transforms.augmentation_levels = self.levels

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.check(trainer, pl_module)

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """The data module has it."""
