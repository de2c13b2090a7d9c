"""What the network sees, in the log."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from callbacks import Clock
from datamodules import Batch, ImageDataModule
from plasticity_lab.history import Answers
from plasticity_lab.randomness import generator
from plasticity_lab.runs.image_grid import labelled_grid
from plasticity_lab.timing import Position

EXAMPLES = 32

PICTURED = 10
"""Stages that have a picture each where they begin `every` so often; later ones look alike."""


class DataMonitor(Callback):
    """Logs what is active in an `ImageDataModule`, at each epoch's start and at every change.

    Scalars: `data/stage` and `data/examples` if data grow; `deficits/<Class>`, the strength, or 1,
    while one of the class is active and 0 from then on; `data/augmented`, the share of images, from
    the first moment at which not all are. On a change also `data/as_seen`: the same 32 training
    images as the network sees them; those that are not in the data yet are grey. Of stages that
    begin `every` so often the first ten have a picture.

    Args:
        resumed: whether the log already shows what was active at the checkpoint that the run
            resumes from.
    """

    def __init__(self, resumed: bool = False) -> None:
        self.resumed = resumed
        self.logged: tuple[int, Answers] | None = None
        self.was_unaugmented = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        entries = Clock.of(trainer).history.entries
        if isinstance(data, ImageDataModule) and entries:
            shares = [augmented(data, entry.answers) for entry in entries]
            self.was_unaugmented = any(share != 1 for share in shares)
            latest = shown(entries[-1].now, entries[-1].answers)
            self.logged = latest if self.resumed else None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule):
            return
        clock = Clock.of(trainer)
        active = shown(clock.now, clock.answers)
        if active == self.logged and batch_idx:
            return
        values = scalars(data, clock)
        share = augmented(data, clock.answers)
        self.was_unaugmented |= share != 1
        if data.transforms.augmentation and self.was_unaugmented:
            values["data/augmented"] = share
        for logger in trainer.loggers:
            if values:
                logger.log_metrics(values, trainer.global_step)
            if not data.splits.train.holds_images:
                continue
            if self.logged and pictured(data, active) == pictured(data, self.logged):
                continue
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("data/as_seen", as_seen(data), trainer.global_step)
        self.logged = active


def shown(now: Position, answers: Answers) -> tuple[int, Answers]:
    """Return the data stage, and what else is active in the data."""
    sections = ("growth/", "stage_transforms/", "deficits/", "augmentation/")
    return now.stage, tuple(one for one in answers if one[0].startswith(sections))


def pictured(data: ImageDataModule, active: tuple[int, Answers]) -> tuple[int, Answers]:
    """Return of what is active in the data that which has a picture of its own."""
    stage, answers = active
    if data.growth is None or data.growth.every is None or stage < PICTURED:
        return active
    of_stages = ("growth/", "stage_transforms/")
    return PICTURED, tuple(one for one in answers if not one[0].startswith(of_stages))


def augmented(data: ImageDataModule, answers: Answers) -> float:
    """Return the share of training images that are augmented."""
    parts = {part.key: part for part in data.timed_parts()}
    doing = [(parts[key], answer) for key, answer in answers if key in parts]
    return data.transforms.augmented(doing)


def scalars(data: ImageDataModule, clock: Clock) -> dict[str, float]:
    """Return the data stage and the deficits as numbers, a function of the past alone.

    Runs with a common past log the same.
    """
    values: dict[str, float] = {}
    stage, active = clock.now.stage, dict(clock.answers)
    if data.growth:
        values |= {"data/stage": stage, "data/examples": data.stages.size(stage)}
    of_class: dict[str, list[float]] = {}
    for key in sorted(clock.history.ever | set(active)):
        if key.startswith("deficits/"):
            strengths = of_class.setdefault(key.split("(")[0], [])
            answer = active.get(key)
            if answer is not None:
                strengths.append(1.0 if isinstance(answer, str) else float(answer))
    return values | {tag: max(strengths, default=0.0) for tag, strengths in of_class.items()}


def as_seen(data: ImageDataModule) -> Tensor:
    """Return a grid of some training images as the network sees them now, sorted by target.

    uint8, (3, height, width); the same images each time. A label that is not the image's own is
    written as `own > given`, a real-valued target as its first number. Images that are not in the
    data yet are grey.
    """
    train = data.splits.train
    now = data.now

    # The images as they are stored, and as the network sees them.
    chosen = train.choose(min(EXAMPLES, len(train)), generator(data.seed, "as seen"))
    targets = train.targets[chosen]
    chosen = chosen[
        (targets.flatten(1)[:, 0] if targets.ndim > 1 else targets).argsort(stable=True)
    ]
    pixels, targets = train.__getitems__(chosen.tolist()), train.targets[chosen]
    raw = Batch(pixels.to(data.device), targets.to(data.device), chosen.to(data.device))
    batch = data.as_trained(raw, "as seen", now.epoch)

    # Those that are not in the data yet are grey and have no caption.
    present = torch.isin(chosen, data.stages.members(now.stage))
    images = torch.where(present[:, None, None, None], batch.inputs.cpu().clamp(0, 255), 200)
    captions = [
        _caption(train.classes, data.class_names, label, target) if is_present else ""
        for is_present, label, target in zip(
            present, raw.targets.cpu(), batch.targets.cpu(), strict=True
        )
    ]
    return labelled_grid(images.to(torch.uint8), captions)


def _caption(classes: Sequence[str], given: Sequence[str], label: Tensor, target: Tensor) -> str:
    """Return a target as text, with what training is given in its place."""
    if not classes:
        return f"{float(label.flatten()[0]):.3g}"
    if label == target and classes == given:
        return classes[int(label)]
    return f"{classes[int(label)]} > {given[int(target)]}"
