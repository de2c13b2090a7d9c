"""A user's file: a class of each kind that acts over time, by no more than two methods."""

from collections.abc import Mapping

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks import Diagnostic, Draws, Look, OneShot
from datamodules import Batch, BatchContext, Deficit, Growth
from plasticity_lab.randomness import generator
from plasticity_lab.schedule import Answer, Timed
from plasticity_lab.timing import Every, Position, Time


class FadingContrast(Deficit):
    """Images of less contrast: `levels` are what is left of it, in [0, 1]."""

    def __call__(self, batch: Batch, context: BatchContext) -> Batch:
        return batch._replace(inputs=(batch.inputs * context.level).to(batch.inputs.dtype))


class HeadNoise(OneShot):
    """Adds noise to the head, again and again."""

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        head = dict(module.named_parameters())["network.head.weight"]
        head.add_(0.1 * torch.randn(head.shape, generator=draws.generator("head")))


class OddFirst(Growth):
    """The odd examples come first, in two parts, and then the even ones."""

    def stage_indices(self, targets: Tensor, classes: int | None, seed: int) -> list[Tensor]:
        odd = torch.arange(1, len(targets), 2)
        return [odd[: len(odd) // 2], odd[len(odd) // 2 :], torch.arange(0, len(targets), 2)]


class HeadNorm(Diagnostic):
    """The norm of the head's weights."""

    def measure(self, look: Look) -> Mapping[str, float]:
        return {"head_norm": float(dict(look.parameters)["head.weight"].detach().norm())}


class Wobble(Timed, Callback):
    """Is no kind of ours: moves a bias in every second epoch, by draws of the epoch."""

    def times(self) -> list[Time]:
        return [Every("1ep")]

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        return True if now.epoch % 2 else None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.active(None, Position(trainer.current_epoch, 0), 0):
            noise = torch.randn((), generator=generator(0, "Wobble", trainer.current_epoch))
            with torch.no_grad():
                next(pl_module.parameters()).add_(0.01 * noise)
