"""How long a run takes to learn."""

from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer

from callbacks.clock import Clock
from callbacks.epoch_end import EpochEnd
from datamodules import ImageDataModule
from lightning_modules import Objective
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Position


class TimeToAccuracy(Timed, EpochEnd):
    """Epochs and steps until an accuracy is reached, which a warm start may save.

    Ash & Adams 2020, https://arxiv.org/abs/1910.08475.

    At the end of each epoch whose accuracy is known, `reached` is logged: 1 if it has been reached
    in the present data stage, else 0. At the end of the epoch in which it is reached first, these
    are logged once, each as `…/epochs` and `…/steps`:

    * `time_to_accuracy/train_0.99/…`: since the run began;
    * `time_to_accuracy/train_0.99/stage2/…`: since data stage 2 began, in every stage anew, if data
      grow;
    * `time_to_accuracy/train_0.99/last_stage/…`: since the last data stage began, which is the
      run's beginning if data do not grow: the same name in a warm start and in its control from
      scratch.

    What is never reached is not logged: the run is censored there, its last `reached` is 0, and
    `study.py report` names it. A branch that adds the callback sees only its own epochs. The tags
    begin with `diagnostics/`.

    Args:
        accuracy: in (0, 1].
        split: `train` is the online accuracy of the epoch, `val` that of the last validation in it.

    Raises:
        UserError: for another accuracy, or a split whose accuracy the run does not log.

    Example:
        ```yaml
        class_path: callbacks.TimeToAccuracy
        init_args: {accuracy: 0.99}
        ```
    """

    changes_run = False

    def __init__(self, accuracy: float, split: Literal["train", "val"] = "train") -> None:
        super().__init__(f"{split}/accuracy")
        if not 0 < accuracy <= 1:
            raise UserError("TimeToAccuracy: accuracy", value=accuracy, fix="set a share in (0, 1]")
        self.accuracy, self.split = accuracy, split
        self.stages: list[int] = []
        self._measured: float | None = None

    @property
    def state_key(self) -> str:
        """What its state is kept by in checkpoints."""
        return repr(self)

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return what is logged in an epoch; studies share epochs with equal answers."""
        return "in the last stage" if now.in_last_stage else "in a stage before the last"

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise UserError, before training, if the run has no such split, or no accuracy."""
        objective = getattr(module, "objective", None)
        if isinstance(objective, Objective) and "accuracy" not in objective.metrics():
            raise UserError(
                "TimeToAccuracy: objective",
                value=type(objective).__name__,
                problem="logs no accuracy",
                fix="remove it",
            )
        if self.split == "val" and trainer.limit_val_batches == 0:
            raise UserError(
                "TimeToAccuracy: split",
                value="val",
                problem="the run does not validate (limit_val_batches: 0)",
                fix="set train",
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        Clock.add_to(trainer, pl_module)
        # It may have been in another Trainer; a checkpoint is loaded after this.
        if trainer.global_step == 0:
            self.stages, self._measured = [], None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Kept here, as an epoch without validation would read the value of an earlier one.
        if self.split == "val" and not trainer.sanity_checking:
            self._measured = self._read(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured = self._read(trainer) if self.split == "train" else self._measured
        self._measured = None
        if measured is None:
            return
        name = f"diagnostics/time_to_accuracy/{self.split}_{self.accuracy:g}"
        step = max(0, trainer.global_step - 1)
        began, growing, is_last = _stage(trainer)
        values: dict[str, float] = {}
        if measured >= self.accuracy and began.stage not in self.stages:
            # Times count from the beginning of the run, of the stage, and of the last stage.
            starts: dict[str, Position] = {}
            if not self.stages:
                starts[""] = Position(0, 0)
            if growing:
                starts[f"/stage{began.stage}"] = began
            if is_last:
                starts["/last_stage"] = began
            now = Position(trainer.current_epoch + 1, trainer.global_step)
            for part, start in starts.items():
                values[f"{name}{part}/epochs"] = now.epoch - start.epoch
                values[f"{name}{part}/steps"] = now.step - start.step
            self.stages.append(began.stage)
        values[f"{name}/reached"] = began.stage in self.stages
        for logger in trainer.loggers:
            logger.log_metrics(values, step)

    def _read(self, trainer: Trainer) -> float:
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            raise UserError(
                "TimeToAccuracy: split",
                value=self.split,
                problem=f"the module does not log {self.monitor}",
                fix="remove it",
            )
        return float(trainer.strategy.broadcast(float(value)))

    def state_dict(self) -> dict[str, Any]:
        """Return in which stages it has been reached, and a pending validation."""
        return {"stages": list(self.stages), "measured": self._measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's stages and pending validation."""
        self.stages = list(state_dict["stages"])
        self._measured = state_dict["measured"]


def _stage(trainer: Trainer) -> tuple[Position, bool, bool]:
    """Return where the data stage began, whether data grow, and whether it is the last."""
    data: Any = getattr(trainer, "datamodule", None)
    if not isinstance(data, ImageDataModule) or not data.growth:
        return Position(0, 0), False, True
    stage = Clock.of(trainer).now.stage
    entries = Clock.of(trainer).history.entries
    began = next(entry.now for entry in entries if entry.now.stage == stage)
    return began, True, stage == data.stages.count(trainer.max_epochs or 1) - 1
