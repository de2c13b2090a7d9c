"""Ends data stages that wait for the network, and the run with the last of them."""

import sys
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from callbacks.clock import Clock
from callbacks.epoch_end import EpochEnd
from datamodules import ImageDataModule
from datamodules.growth.waiting_stages import WaitingStages
from plasticity_lab.errors import UserError


class StageEnd(EpochEnd):
    """Ends data stages that wait for the network (`until`), and the run after the last one.

    The run then ends as if `max_epochs` were reached: checkpoints, test split and logs are those of
    a run of so many epochs, and a run resumed from its end trains no further. All ranks decide
    alike. `train.py` adds it where it is needed.
    """

    def __init__(self) -> None:
        super().__init__("train/accuracy")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            # What it decides is a part of the history.
            Clock.add_to(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stages = _waiting(trainer)
        if stages and stages.ended:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stages, finished = _waiting(trainer), trainer.current_epoch + 1
        if stages is None or not stages.needs_decision(finished):
            return
        accuracy = trainer.callback_metrics.get(self.monitor)
        if accuracy is None:
            raise UserError(
                "until",
                value="train_accuracy",
                problem="waits for train/accuracy, which the module does not log",
            )
        stages.advance(finished, trainer.strategy.broadcast(float(accuracy)))
        if stages.ended:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stages = _waiting(trainer)
        if stages and stages.cut_off(trainer.current_epoch) and trainer.is_global_zero:
            print(
                f"warning: max_epochs: {trainer.max_epochs}: reached in data stage "
                f"{len(stages.decisions.starts)}, before the last one ({stages.stages - 1}) had "
                "ended; set a larger max_epochs",
                file=sys.stderr,
            )


def _waiting(trainer: Trainer) -> WaitingStages | None:
    """Return the data stages of a run if they wait for the network."""
    data: Any = getattr(trainer, "datamodule", None)
    return data.waiting if isinstance(data, ImageDataModule) else None
