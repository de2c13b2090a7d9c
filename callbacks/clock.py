"""The history of a run: what interventions have done to it, and when."""

import os
from typing import Any, NamedTuple

from pytorch_lightning import Callback, LightningModule, Trainer

from datamodules import ImageDataModule
from plasticity_lab.timing import Position


class Act(NamedTuple):
    """Something that was done to a run.

    Attributes:
        where: the position of the batch before which it was done.
        name: the intervention, with its arguments.
        value: the value set, for a level; None for a one-shot.
        before: the position of the batch trained before; None at the beginning.
    """

    where: Position
    name: str
    value: float | None
    before: Position | None


def run_seed(trainer: Trainer, module: LightningModule) -> int:
    """Return the seed of a run: of its data or module, else that of `seed_everything`."""
    for part in (getattr(trainer, "datamodule", None), module):
        if isinstance(seed := getattr(part, "seed", None), int):
            return seed
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


class Clock(Callback):
    """The position of a run and the interventions applied so far; part of every checkpoint.

    It knows no intervention: an arm can resume from another arm's checkpoint if both have the same
    history up to it. It stands before all interventions.

    Args:
        seed: the run's seed (`seed_everything`), set by train.py.

    Attributes:
        initial_seed: the seed that the initial values were drawn from: a branch may have another.
        now: the position of the batch that is trained.
        last: the position of the last batch that was trained; None before the first.
        acts: what interventions have done, in order.
        added: whether a callback has added it, in a Trainer that was not built by `plasticity_lab`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = self.initial_seed = seed
        self.now = Position(0, 0)
        self.last: Position | None = None
        self.acts: list[Act] = []
        self.added = False

    @staticmethod
    def of(trainer: Trainer) -> "Clock":
        """Return the clock of a run."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        (clock,) = [callback for callback in callbacks if isinstance(callback, Clock)]
        return clock

    @staticmethod
    def add_to(trainer: Trainer, module: LightningModule) -> "Clock":
        """Return the clock of a trainer; one that has none gets it before all other callbacks."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        for callback in callbacks:
            if isinstance(callback, Clock):
                return callback
        clock = Clock(run_seed(trainer, module))
        clock.initial_seed = int(getattr(module, "seed", clock.seed))
        # A new list, since Lightning is going through the old one when callbacks are set up.
        clock.added = True
        trainer.callbacks = [clock, *callbacks]  # type: ignore[attr-defined]
        return clock

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if isinstance(data, ImageDataModule):
            self.now = data.now
        else:
            self.now = Position(trainer.current_epoch, trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.last = self.now

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        acts = [
            [list(act.where), act.name, act.value, act.before and list(act.before)]
            for act in self.acts
        ]
        return {
            "initial_seed": self.initial_seed,
            "last": self.last and list(self.last),
            "acts": acts,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history of a checkpoint."""
        self.initial_seed = state_dict["initial_seed"]
        self.last = Position(*state_dict["last"]) if state_dict["last"] else None
        self.acts = [
            Act(Position(*where), name, value, Position(*before) if before else None)
            for where, name, value, before in state_dict["acts"]
        ]
