"""What the examples of a data stage look like, or are called, in every split."""

from abc import abstractmethod
from collections.abc import Sequence

from datamodules.datasets.split import Split
from datamodules.loading.batch import Batch
from datamodules.transforms.context import BatchContext
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Position, Time


class StageTransform(Timed):
    """What makes one data stage another task: of training, validation and test examples alike.

    Each stage has a task: the number of the stage, or with `cycle` its place in the cycle, so that
    tasks come back. All that is drawn is keyed by the run's seed and the task. It acts before
    deficits and augmentation. Without stages there is the one task 0.

    Your own: subclass, implement `__call__`, name the class in YAML.

    Args:
        cycle: number of different tasks; None is a new one in each stage.

    Raises:
        UserError: for a cycle of no task.
    """

    section = "stage_transforms"

    def __init__(self, cycle: int | None = None) -> None:
        if cycle is not None and cycle < 1:
            raise UserError("cycle", value=cycle, fix="set 1 or more tasks")
        self.cycle = cycle

    def task(self, stage: int) -> int:
        """Return the number of a stage's task."""
        return stage % self.cycle if self.cycle else stage

    def times(self) -> Sequence[Time]:
        """Return the first stage: it acts all the time."""
        return [Time("stage0")]

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the number of the task."""
        return self.task(now.stage)

    @abstractmethod
    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        """Return a batch as its task has it.

        Args:
            batch: examples as they are stored: images uint8 (examples, channels, height, width) or
                other inputs, and targets; to be returned with the same shapes.
            context: where it stands; `level` is the number of the task.
        """

    def check(self, train: Split) -> None:  # most take anything
        """Raise UserError for what the examples of a training split cannot take."""
