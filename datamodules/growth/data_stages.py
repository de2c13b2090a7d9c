"""Training data that change in stages, and when each stage begins."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from datamodules.growth.permutations import epoch_permutation
from datamodules.growth.stage_criterion import StageCriterion
from datamodules.growth.stages import Stages
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Every, Position, Time


class DataStages(Timed):
    """How the training split becomes the data of an epoch: what stages there are, and when.

    `Growth` adds examples with each stage, `Stream` replaces them. Validation, test and the
    statistics of normalisation are those of the whole data from the start. Epochs are as long as
    their stage; schedules count epochs. (Lightning's `trainer.estimated_stepping_batches` takes the
    first epoch's length for all.)

    Args:
        at: when stages 1, 2, … begin, with an epoch each.
        until: in place of `at`, what ends each stage; the next one begins, and after the last the
            run ends.
        every: in place of `at`, the time that each stage lasts: `10ep` begins stages 1, 2, … at
            epochs 10, 20, …, up to the end of the run.

    Raises:
        UserError: unless one of the three is given, or if a time is not the start of an epoch.
    """

    section = "growth"
    knows_length = ("order",)
    stage_times: Sequence[Time] = ()

    def __init__(
        self,
        at: list[Time] | None = None,
        until: StageCriterion | None = None,
        every: Time | None = None,
    ) -> None:
        if sum(given is not None for given in (at, until, every)) != 1:
            raise UserError(
                "growth",
                fix=(
                    "set one of at: [times], when stages 1, 2, … begin, every: time, how long each "
                    "lasts, or until: {train_accuracy: …}"
                ),
            )
        word, moments = ("at", at or []) if every is None else ("every", [every])
        for time in map(Time, moments):
            if time.unit not in ("ep", "%"):
                raise UserError(
                    word,
                    value=time,
                    problem="a stage begins with an epoch",
                    fix="set '80ep' or '50%'",
                )
        self.at = None if at is None else [Time(time) for time in at]
        self.until = until
        self.every = Every(every) if every is not None else None
        if self.every:
            self.stage_times = [self.every]
        else:
            self.stage_times = [Time("stages")] if self.at is None else self.at
        self.may_end_run = until is not None and not until.to_the_cap

    @abstractmethod
    def arrange(self, targets: Tensor, classes: int | None, seed: int) -> Stages:
        """Return the examples of each stage.

        Args:
            targets: (examples, …), of the whole training split; of classes int64 (examples,).
            classes: number of classes; None for another task.
            seed: the run's seed.

        Raises:
            UserError: for settings that these data do not allow.
        """

    def num_classes(self, classes: int | None) -> int | None:
        """Return how many classes a network tells apart, of data with so many."""
        return classes

    def times(self) -> Sequence[Time]:
        """Return when stages begin; `stages` where they wait for the network."""
        return self.stage_times

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return the stage."""
        return self.stage(now, epochs)

    def stage(self, now: Position, epochs: int) -> int:
        """Return the stage at a position; where stages wait for the network, the position's."""
        return sum(time.count(now, epochs) for time in self.stage_times)

    def order(self, members: Tensor, seed: int, epoch: int, epochs: int) -> Tensor:
        """Return the examples of an epoch in the order they are seen, as many as there are members.

        Args:
            members: int64, the positions that exist in its stage, sorted.
            seed: the run's seed.
            epoch: the epoch.
            epochs: epochs of the run.
        """
        return members[epoch_permutation(len(members), seed, epoch)]
