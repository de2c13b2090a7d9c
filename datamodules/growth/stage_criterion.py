"""When a stage that waits for the network has lasted long enough."""

from dataclasses import dataclass
from typing import ClassVar

from plasticity_lab.errors import UserError
from plasticity_lab.timing import Position, Time


@dataclass(frozen=True)
class StageCriterion:
    """When a stage has lasted long enough: with the first epoch that meets either condition.

    The last stage ends like the others (Ash & Adams 2020) or after a fixed time (Berariu et al.
    2021), and the run ends with it: arms that need different times for the stages before get the
    same training on all data. `max_epochs` is the longest that the run may last. It is also what
    times in `%` are shares of, and what a learning-rate schedule knows of the run's length (`T_max`
    of a cosine), wherever the run ends. What diagnostics measure after the last epoch they measure
    at `max_epochs` only: let them measure `every: 1ep`.

    Args:
        train_accuracy: the online accuracy of an epoch (`train/accuracy`) that ends it, in (0, 1].
        at_most: how long it may last, in epochs (`350ep`) or as a share of `max_epochs` (`30%`);
            None is without a limit.
        last: how long the last stage lasts instead, whatever its accuracy (`500ep`); `100%` is to
            `max_epochs`. None ends it by the conditions of the others.

    Raises:
        UserError: for values outside these ranges.
    """

    says_when: ClassVar[bool] = True

    train_accuracy: float
    at_most: Time | None = None
    last: Time | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.train_accuracy <= 1:
            raise UserError(
                "until: train_accuracy", value=self.train_accuracy, fix="set a share in (0, 1]"
            )
        for name, time in (("at_most", self.at_most), ("last", self.last)):
            if time and (time.unit not in ("ep", "%") or time.number == 0):
                raise UserError(
                    f"until: {name}",
                    value=time,
                    problem="a stage lasts whole epochs",
                    fix="set '350ep' or '30%'",
                )

    @property
    def to_the_cap(self) -> bool:
        """Whether the run is meant to last to `max_epochs`."""
        return str(self.last) == "100%"

    def met(self, lasted: int, train_accuracy: float, is_last: bool, epochs: int) -> bool:
        """Return whether a stage has lasted long enough.

        Args:
            lasted: epochs that have been trained in it.
            train_accuracy: online accuracy of the last of them, in [0, 1].
            is_last: whether it is the last stage.
            epochs: `max_epochs` of the run.
        """
        now = Position(lasted, 0)
        if lasted == 0:
            return False
        if is_last and self.last:
            return self.last.reached(now, epochs)
        return train_accuracy >= self.train_accuracy or bool(
            self.at_most and self.at_most.reached(now, epochs)
        )
