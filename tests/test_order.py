"""The order of one step and of an epoch's end; docs/concepts/order.md lists what depends on it."""

from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from callbacks import Clock
from datamodules import Batch, ImageDataModule
from datamodules.loading.batch import LoadedBatch
from lightning_modules import ImageClassifier
from plasticity_lab.runs.build import build
from plasticity_lab.runs.last_checkpoint import LastCheckpoint
from plasticity_lab.runs.parse import parse
from tests.callbacks.interventions.arms import ALL, intervention
from tests.runs import fit, logged, tiny

SEEN: list[str] = []
"""The hooks of a run, in the order in which they were called."""


class TellingModule(ImageClassifier):
    """Notes when it is called."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        SEEN.append("training_step")
        return super().training_step(batch, batch_idx)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        SEEN.append("lr_scheduler_step")
        super().lr_scheduler_step(scheduler, metric)

    def on_validation_epoch_end(self) -> None:
        SEEN.append("validation")
        super().on_validation_epoch_end()

    def on_train_epoch_end(self) -> None:
        SEEN.append("on_train_epoch_end of the module")
        super().on_train_epoch_end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        SEEN.append("checkpoint")
        super().on_save_checkpoint(checkpoint)


class TellingData(ImageDataModule):
    """Notes when it is called."""

    def train_dataloader(self) -> Any:
        SEEN.append("train_dataloader")
        return super().train_dataloader()

    def on_after_batch_transfer(self, batch: LoadedBatch, dataloader_idx: int) -> Batch:
        if self.trainer and self.trainer.training:
            SEEN.append("on_after_batch_transfer")
        return super().on_after_batch_transfer(batch, dataloader_idx)


class TellingCallback(Callback):
    """Notes when it is called, and lets the optimizer note when it steps."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.optimizers[0].register_step_pre_hook(lambda *_: SEEN.append("optimizer: before"))
        trainer.optimizers[0].register_step_post_hook(lambda *_: SEEN.append("optimizer: after"))

    def on_train_batch_start(self, *_: Any) -> None:
        SEEN.append("on_train_batch_start")

    def on_before_optimizer_step(self, *_: Any) -> None:
        SEEN.append("on_before_optimizer_step")

    def on_train_batch_end(self, *_: Any) -> None:
        SEEN.append("on_train_batch_end")

    def on_train_epoch_end(self, *_: Any) -> None:
        SEEN.append("on_train_epoch_end of callbacks")


STEP = [
    "on_after_batch_transfer",
    "on_train_batch_start",
    "optimizer: before",
    "training_step",
    "on_before_optimizer_step",
    "optimizer: after",
    "on_train_batch_end",
]
END = [
    "validation",
    "on_train_epoch_end of callbacks",
    "on_train_epoch_end of the module",
    "checkpoint",
    "checkpoint",
]
"""One checkpoint for the epoch, then the one that a run resumes from."""


def test_hooks_come_in_the_order_that_the_page_gives() -> None:
    SEEN.clear()
    telling = {
        "model": {"class_path": f"{__name__}.TellingModule"},
        "data": {"class_path": f"{__name__}.TellingData"},
        "trainer": {
            "max_epochs": 2,
            "callbacks+": [{"class_path": f"{__name__}.TellingCallback"}],
        },
    }
    fit(*tiny(telling))
    last = [*STEP[:-1], "lr_scheduler_step", STEP[-1]]
    epoch = ["train_dataloader", *STEP * 3, *last, *END]
    assert SEEN[: 2 * len(epoch)] == [*epoch, *epoch]


def test_callbacks_stand_in_the_order_that_the_page_gives() -> None:
    callbacks: list[Callback] = build(parse(["fit", *tiny(ALL)])).trainer.callbacks  # type: ignore[attr-defined]
    names = [type(callback).__name__ for callback in callbacks]
    (clock,) = [place for place, callback in enumerate(callbacks) if isinstance(callback, Clock)]
    checkpoints = [
        place for place, callback in enumerate(callbacks) if isinstance(callback, Checkpoint)
    ]
    assert names.index("Interruption") == 0
    assert names.index("RunRecord") < names.index("ExactResume") < names.index("TerminateOnNaN")
    assert names.index("TerminateOnNaN") < clock < names.index("DataMonitor")
    listed = [
        node["class_path"].removeprefix("callbacks.") for node in ALL["trainer"]["callbacks+"]
    ]
    first = names.index(listed[0])
    assert names[first : first + len(listed)] == listed
    assert clock < first < first + len(listed) <= checkpoints[0]
    assert isinstance(callbacks[-1], LastCheckpoint)
    assert checkpoints == [*range(checkpoints[0], len(callbacks))]


@pytest.mark.parametrize("measured", ["before", "after"])
def test_the_list_decides_what_a_first_look_sees(measured: str) -> None:
    act = intervention("ShrinkPerturb", at=["0ep"], shrink=0.5)
    look = intervention("WeightDistance", every="1ep")
    listed = [look, act] if measured == "before" else [act, look]
    finished = fit(*tiny({"trainer": {"max_epochs": 1, "callbacks+": listed}}))
    distance = logged(finished.place.directory)["diagnostics/weights/distance"][0]
    assert distance[0] == 0
    assert (distance[1] == 0) == (measured == "before")


class Witness(Callback):
    """Looks at the run's directory as soon as training begins."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        SEEN.extend(sorted(file.name for file in Path(trainer.default_root_dir).glob("*.*")))


CSV = {"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": {"save_dir": "logs"}}


@pytest.mark.parametrize("logger", [True, False, CSV], ids=["own", "none", "csv"])
def test_config_and_manifest_are_there_before_anything_is_trained(logger: Any) -> None:
    SEEN.clear()
    witness = {"class_path": f"{__name__}.Witness"}
    trainer = {"max_epochs": 1, "logger": logger, "callbacks+": [witness]}
    fit(*tiny({"trainer": trainer}))
    assert {"config.yaml", "manifest.json"} <= {*SEEN}
