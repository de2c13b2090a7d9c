"""Image classification."""

from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from lightning_modules.objectives import Classification
from lightning_modules.supervised import Supervised
from plasticity_lab.surgery.filter_pruning import FilterScore
from plasticity_lab.surgery.schemes import Scheme


class ImageClassifier(Supervised):
    """A network trained by cross-entropy; logs accuracy and loss of every split each epoch.

    Args:
        network: any module from images (batch, channels, height, width) to logits (batch, classes).
        optimizer: as `Supervised`.
        lr_scheduler: as `Supervised`.
        label_smoothing: in [0, 1), in training only; 0 is none.
        channels_last: as `Supervised`.
        compile: as `Supervised`.
        initialisation: as `Supervised`.
        initial_weights: as `Supervised`.
        initial_weights_except: as `Supervised`.
        initial_weights_filters: as `Supervised`.
        seed: as `Supervised`.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        label_smoothing: float = 0.0,
        channels_last: bool = True,
        compile: bool = False,
        initialisation: Scheme = "own",
        initial_weights: str | None = None,
        initial_weights_except: list[str] | None = None,
        initial_weights_filters: FilterScore | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            network,
            optimizer,
            Classification(label_smoothing),
            lr_scheduler,
            channels_last=channels_last,
            compile=compile,
            initialisation=initialisation,
            initial_weights=initial_weights,
            initial_weights_except=initial_weights_except,
            initial_weights_filters=initial_weights_filters,
            seed=seed,
        )
