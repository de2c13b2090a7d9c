"""Callbacks that tests add to runs."""

import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from callbacks import Level
from datamodules import Augmentation, Batch, BatchContext, Deficit
from lightning_modules import ImageClassifier
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.timing import Time


class StepLog(Callback):
    """Logs through Lightning's own machinery, by step and by epoch, as users' callbacks do."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.log("probe/step", outputs["loss"], on_step=True, on_epoch=False)


class BatchStarts(Callback):
    """Records the weights before each batch, as they are after the callbacks above it."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        network: Any = pl_module.network
        self.weights.append({name: t.clone() for name, t in network.state_dict().items()})


class Batches(Callback):
    """Records each batch, and the momentum of each parameter before it."""

    def __init__(self) -> None:
        self.batches: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.momenta: list[list[torch.Tensor]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.batches.append((batch.inputs.clone(), batch.targets.clone()))
        (optimizer,) = trainer.optimizers
        states = [optimizer.state[value] for value in pl_module.parameters()]
        self.momenta.append([state["momentum_buffer"].clone() for state in states if state])


class RankRecord(Callback):
    """Lets the ranks' global streams drift apart, and writes what each rank saw and ended in."""

    def __init__(self) -> None:
        self.indices: list[list[int]] = []
        self.labels: list[list[int]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.rand(3 * trainer.global_rank + 1)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.indices.append(batch.indices.tolist())
        self.labels.append(batch.targets.tolist())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        record = {
            "indices": self.indices,
            "labels": self.labels,
            "state": state_hash(pl_module.state_dict()),
            "weights": pl_module.state_dict(),
        }
        torch.save(record, f"rank{trainer.global_rank}.pt")


class EpochLengths(Callback):
    """Records how many batches each epoch announces to progress bars, and how many it has."""

    def __init__(self) -> None:
        self.announced: list[float] = []
        self.indices: list[list[int]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.announced.append(trainer.num_training_batches)
        self.indices.append([])

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.indices[-1] += batch.indices.tolist()


class Silent(ImageClassifier):
    """A module that does not log its training accuracy."""

    def on_train_epoch_end(self) -> None:
        self.train_metrics.reset()


class Peek(Callback):
    """Records, at the last batch's start, the optimizer state of each parameter and momentum."""

    def __init__(self) -> None:
        self.memory: dict[str, str] = {}
        self.momentum = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        network: Any = pl_module.network
        for name, parameter in network.named_parameters():
            self.memory[name] = state_hash(dict(trainer.optimizers[0].state.get(parameter, {})))
        self.momentum = trainer.optimizers[0].param_groups[0].get("momentum", 0.0)


class Momentum(Level):
    """Somebody's own level, which remembers its value."""

    value: float | None = None

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        self.value = value
        trainer.optimizers[0].param_groups[0]["momentum"] = value


class Part(Callback):
    """Lets one rank's weights part from the others'."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 3 and trainer.global_rank == 1:
            with torch.no_grad():
                next(pl_module.parameters()).add_(1)


class SaveBetween(Callback):
    """Saves after interventions have acted, and before their batch is trained."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 4 and not Path("between.ckpt").exists():
            trainer.save_checkpoint("between.ckpt")


class EarlySave(Callback):
    """Saves at an epoch's end, before the module has said how it went."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint("early.ckpt")


class Darken(Augmentation):
    """Somebody's own augmentation."""

    def __call__(
        self, images: torch.Tensor, mean: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        return images // torch.randint(
            1, 3, (len(images), 1, 1, 1), generator=generator, dtype=torch.uint8
        )


class Dim(Deficit):
    """Somebody's own deficit: half the light."""

    def __init__(self, during: tuple[Time, Time], invert: bool = False) -> None:
        super().__init__(during)
        self.invert = invert

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        return batch._replace(inputs=255 - batch.inputs if self.invert else batch.inputs // 2)


class Fade(Deficit):
    """Somebody's own deficit, in float."""

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        return batch._replace(inputs=batch.inputs * 0.3 - 5)


class InPlace(Deficit):
    """Somebody's own deficit that writes into its batch."""

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        batch.inputs.fill_(7)
        batch.targets.zero_()
        return batch


class EpochEnd(ModelCheckpoint):
    """Keeps every epoch's checkpoint, written at the epoch's end."""

    state_key = "EpochEnd"

    def __init__(self) -> None:
        super().__init__(filename="epochend{epoch}", save_on_train_epoch_end=True, save_top_k=-1)


class ValidationEnd(ModelCheckpoint):
    """Keeps every epoch's checkpoint, written at the end of validation (Lightning's default)."""

    state_key = "ValidationEnd"

    def __init__(self) -> None:
        super().__init__(filename="valend{epoch}", save_on_train_epoch_end=False, save_top_k=-1)


class Slowly(Callback):
    """Makes a step take long enough for something to happen in it."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        time.sleep(0.1)
