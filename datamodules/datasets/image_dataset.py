"""Where images come from."""

from typing import Literal

from datamodules.datasets.channel_normalisation import ChannelNormalisation
from datamodules.datasets.channel_statistics import channel_histogram, channel_statistics
from datamodules.datasets.decoding import Size
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
        size: height and width that `read` gives the images, one number for squares; None keeps
            theirs.
    """

    def __init__(
        self,
        subset: int | None = None,
        validation: Literal["test"] | float = "test",
        size: Size | None = None,
    ) -> None:
        super().__init__(subset, validation)
        sides = (size,) if isinstance(size, int) else size or ()
        if any(side < 1 for side in sides):
            raise UserError("size", value=size, fix="set 1 or more pixels")
        self.size = size

    def check(self, train: Split, test: Split) -> None:
        """Raise UserError unless the inputs are images of one size."""
        for split in (train, test):
            if not split.holds_images:
                raise UserError(
                    "dataset",
                    value=type(self).__name__,
                    problem=f"inputs are {split.dtype} {split.shape}, not images",
                    fix="give uint8 (channels, height, width), or subclass ExampleDataset",
                )
        if train.shape != test.shape:
            shown = " and ".join(
                f"{height} x {width} pixels in {channels} channels"
                for channels, height, width in (train.shape, test.shape)
            )
            raise UserError(
                "size",
                value=self.size,
                problem=f"train and test images (height x width) are {shown}",
                fix="set size: to make all of one size",
            )

    def normalisation(self, train: Split, resident: bool, workers: int) -> ChannelNormalisation:
        """Return that of the training split's channels."""
        return ChannelNormalisation(
            *channel_statistics(channel_histogram(train, resident, workers))
        )
