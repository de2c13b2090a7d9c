"""Data stages that wait for the network: which have begun, and whether the last has ended."""

from dataclasses import dataclass

from datamodules.growth.stage_criterion import StageCriterion
from plasticity_lab.errors import UserError
from plasticity_lab.history import StageDecisions
from plasticity_lab.timing import Position

_PASSED = "what has passed cannot be changed: start a new run"


@dataclass(frozen=True)
class WaitingStages:
    """The stages of a run whose ends are decided while it trains.

    Attributes:
        until: what ends a stage.
        stages: number of stages.
        decisions: what has been decided so far; a part of the run's history.
        epochs: the most epochs that the run has.
    """

    until: StageCriterion
    stages: int
    decisions: StageDecisions
    epochs: int

    def needs_decision(self, finished: int) -> bool:
        """Whether it is open whether the stage ends after `finished` epochs."""
        return finished > self.decisions.decided

    def advance(self, finished: int, train_accuracy: float) -> None:
        """Begin the next stage after `finished` epochs if the present one has lasted long enough.

        Args:
            finished: epochs that have been trained.
            train_accuracy: online accuracy of the last of them, in [0, 1].
        """
        self.decisions.decided, self.decisions.accuracy = finished, train_accuracy
        if not self._in_last and self._long_enough:
            self.decisions.starts.append(finished)

    def skip_decision(self, finished: int) -> None:
        """Leave open whether the stage ends after `finished` epochs, as no accuracy is known."""
        self.decisions.decided, self.decisions.accuracy = finished, None

    @property
    def ended(self) -> bool:
        """Whether the last stage has lasted long enough, with which the run ends.

        It is no memory of its own: a branch from the end of a run, with a last stage that lasts
        longer, goes on.
        """
        return self._in_last and self._long_enough

    def cut_off(self, finished: int) -> bool:
        """Return whether `max_epochs` came before the end of the last stage."""
        return not self.until.to_the_cap and finished >= self.epochs and not self.ended

    def check_history(self, last: Position | None) -> None:
        """Raise UserError for stages of a checkpoint that are none of these.

        Args:
            last: where the checkpoint's last batch stood; None if none was trained.
        """
        begun = len(self.decisions.starts)
        if begun >= self.stages:
            raise UserError(
                "growth",
                problem=(
                    f"the checkpoint was trained in stage {begun}, here the last is "
                    f"{self.stages - 1}"
                ),
                fix=f"{_PASSED}, or set at least {begun + 1} stages",
            )
        if last and last.stage != sum(start <= last.epoch for start in self.decisions.starts):
            raise UserError(
                "growth",
                problem=(
                    f"the checkpoint was trained in stage {last.stage} at epoch {last.epoch}, "
                    "which did not wait for the network"
                ),
                fix=f"{_PASSED}, or set at: [times]",
            )

    @property
    def _in_last(self) -> bool:
        return len(self.decisions.starts) >= self.stages - 1

    @property
    def _long_enough(self) -> bool:
        if self.decisions.accuracy is None:
            return False
        lasted = self.decisions.decided - max(self.decisions.starts, default=0)
        return self.until.met(lasted, self.decisions.accuracy, self._in_last, self.epochs)
