"""The examples on which a network is measured."""

from typing import NamedTuple

from torch import Tensor

from datamodules import Batch, ImageDataModule
from datamodules.images import stratified
from plasticity_lab.randomness import generator

NO_BATCH = -1  # tells a probe's draws from those of every batch


class Probe(NamedTuple):
    """Training examples, the same ones throughout a run, on the training device.

    Attributes:
        images: as the network gets them, not augmented, (examples, channels, height, width).
        labels: their own, (examples,).
        indices: in the training split, (examples,).
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


def probe(data: ImageDataModule, examples: int, impaired: bool = False) -> Probe:
    """Choose examples of the whole training split, the same share of every class, keyed by the run's seed.

    Args:
        data: what the run is trained on.
        examples: how many; all, if there are no more.
        impaired: with the deficits in force now, as training has them; else as they are. Labels stay their own.
    """
    train, now = data.splits.train, data.now
    chosen = stratified(train.labels, min(examples, len(train)), generator(data.seed, "probe"))
    labels, indices = train.labels[chosen].to(data.device), chosen.to(data.device)
    batch = Batch(train.__getitems__(chosen.tolist()).to(data.device), labels, indices)
    if impaired:
        for deficit in data.course.appearance.acting(now):
            batch = deficit(batch, data.scene("train", now.epoch, NO_BATCH))
    shift, scale = data.normalisation
    return Probe((batch.images - shift) * scale, labels, indices)
