"""Where images come from."""

from typing import Literal

from datamodules.datasets.channel_normalisation import ChannelNormalisation
from datamodules.datasets.channel_statistics import channel_histogram, channel_statistics
from datamodules.datasets.example_dataset import ExampleDataset
from datamodules.datasets.split import Split
from plasticity_lab.errors import UserError


class ImageDataset(ExampleDataset):
    """Images of one size, with labels or with real-valued targets.

    Each channel is normalised by the mean and the standard deviation of the training split. Your
    own: subclass, implement `read`, name the class in YAML.

    Args:
        subset: as `ExampleDataset`.
        validation: as `ExampleDataset`.
        size: height and width that `read` gives the images; None keeps theirs.
    """

    def __init__(
        self,
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
        size: int | None = None,
    ) -> None:
        super().__init__(subset, validation)
        if size is not None and size < 1:
            raise UserError("size", value=size, fix="write 1 or more pixels")
        self.size = size

    def check(self, train: Split, test: Split) -> None:
        """Raise UserError unless the images are squares of one size."""
        for split in (train, test):
            if not split.holds_images:
                raise UserError(
                    "dataset",
                    value=type(self).__name__,
                    problem=f"inputs are {split.dtype} {split.shape}, not images",
                    fix="give uint8 (channels, height, width), or subclass ExampleDataset",
                )
        if train.shape != test.shape or train.shape[1] != train.shape[2]:
            shown = " and ".join(f"{shape[2]} x {shape[1]}" for shape in (train.shape, test.shape))
            raise UserError(
                "size",
                value=self.size,
                problem=f"train and test images are {shown} pixels",
                fix="set size: to make squares of one size",
            )

    def normalisation(self, train: Split, resident: bool, workers: int) -> ChannelNormalisation:
        """Return that of the training split's channels."""
        return ChannelNormalisation(*channel_statistics(channel_histogram(train, resident, workers)))
