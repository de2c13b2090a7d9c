"""Training data that arrive in stages."""

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from datamodules.growth.permutations import epoch_permutation
from datamodules.growth.stage_criterion import StageCriterion
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Position, Time


class Growth(Timed):
    """How the training split becomes the data of an epoch.

    Your own: subclass, implement `stage_indices`, name the class in YAML.

    The data of stage k are a prefix of one permutation keyed by the seed, so stages contain those
    before them. Validation, test and the statistics of normalisation are those of the whole data
    from the start. Epochs are as long as their stage; schedules count epochs. (Lightning's
    `trainer.estimated_stepping_batches` takes the first epoch's length for all.)

    Args:
        at: when stages 1, 2, … begin, with an epoch each.
        until: in place of `at`, what ends each stage; the next one begins, and after the last the
            run ends.

    Raises:
        UserError: if both or neither are given, or a time is not the start of an epoch.
    """

    section = "growth"
    knows_length = ("order",)
    stage_times: Sequence[Time] = ()

    def __init__(self, at: list[Time] | None = None, until: StageCriterion | None = None) -> None:
        if (at is None) == (until is None):
            raise UserError(
                "growth",
                fix=(
                    "set either at: [times], when stages 1, 2, … begin, or until: "
                    "{train_accuracy: …}"
                ),
            )
        for time in at or []:
            if time.unit not in ("ep", "%"):
                raise UserError(
                    "at",
                    value=time,
                    problem="a stage begins with an epoch",
                    fix="set '80ep' or '50%'",
                )
        self.at, self.until = at, until
        self.stage_times = [Time("stages")] if at is None else [Time(time) for time in at]
        self.may_end_run = until is not None and not until.to_the_cap

    @abstractmethod
    def stage_indices(self, targets: Tensor, classes: int | None, seed: int) -> list[Tensor]:
        """Return what each stage adds, int64 tensors of positions in the split.

        Each position stands there at most once, and every stage adds some.

        Args:
            targets: (examples, …), of the whole training split; of classes int64 (examples,).
            classes: number of classes; None for another task.
            seed: the run's seed.

        Raises:
            UserError: for settings that these data do not allow.
        """

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
