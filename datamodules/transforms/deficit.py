"""What is wrong with training data for a while."""

from abc import abstractmethod
from collections.abc import Mapping

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from datamodules.transforms.transform import Transform
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


class Deficit(Transform):
    """Something wrong with a batch during a window of the run, or at strengths that change.

    Your own: subclass, implement `__call__`, name the class in YAML.

    A deficit is a pure function: whatever it draws comes from `randomness.generator(context.seed,
    …)`, and its strength now, if it has `levels`, is `context.level`. It acts before augmentation,
    unless it is one of sensors.

    Args:
        during: `[start, stop]`, stop excluded; `[0ep, 0ep]` is never, `[0ep, 100%]` always.
        levels: in place of `during`, `{moment: strength}`: each holds from its moment on, and
            `null` is off.

    Raises:
        UserError: if both or neither are given.

    Attributes:
        augmented: whether training images are still augmented while it acts.
        of_sensors: whether it is a deficit of what sees the images, which acts after augmentation.
    """

    section = "deficits"
    augmented = True
    of_sensors = False

    def __init__(
        self,
        during: tuple[Time, Time] | None = None,
        levels: Mapping[str, float | None] | None = None,
    ) -> None:
        super().__init__(during, levels)
        if during is None and levels is None:
            raise UserError(
                type(self).__name__,
                fix="set during: [start, stop], such as [0ep, 20ep], or levels: {time: strength}",
            )

    @abstractmethod
    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Impair a batch.

        Args:
            batch: images (examples, channels, height, width) in grey levels 0…255 (uint8, unless a
                deficit before this one has made them float) or other inputs, and targets; to be
                returned with the same shapes.
            context: where it stands.
        """

    def check(self, train: Split) -> None:  # most can impair anything
        """Raise UserError for what the examples of a training split cannot take."""
