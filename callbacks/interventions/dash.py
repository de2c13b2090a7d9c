"""Weights shrunk where they point away from the descent of new data."""

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_parameters_kept
from callbacks.network import unwrap
from datamodules import ImageDataModule
from lightning_modules import Supervised
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.preserve_state import preserve_state
from plasticity_lab.surgery.dash import direction_aware_shrink
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters
from plasticity_lab.surgery.weight_matrices import linear_layers
from plasticity_lab.timing import Time


class DASH(OneShot):
    """Shrinks weights that point away from the descent of new data (Shin et al. 2024).

    Direction-aware shrinking, https://arxiv.org/abs/2410.23495: each weight is multiplied by the
    cosine between it and the negative gradient of the loss on the present training data, clamped to
    [`least`, 1]. Features that the new data would learn anyhow stay, memorised noise goes.

    The gradient is taken at one pass over the training data as training sees them, augmentation
    included, in evaluation mode, as the authors do (the port in the code of FIRE is in training
    mode): of the mean loss over all of them, or an average over batches. The authors take a batch
    for each chunk of data that has arrived, in order and without augmentation, and average with
    0.3, so that new chunks count more than old ones; with one chunk that is the mean loss.

    Changes: parameters of linear and convolutional layers, each row, each kernel and each bias by a
    factor. Keeps: normalisation layers and their statistics, optimizer state, the learning-rate
    clock. The authors keep momentum, too.

    Args:
        at: moments; the paper's is every arrival of data, `stages`.
        least: smallest factor, in [0, 1]; 1 is the identity. The paper's is 0.3, and 0.05 in the
            benchmark of FIRE.
        average: None, or the weight in (0, 1] of a batch in an average that runs over the batches,
            G <- (1 - average) G + average (-g), as in the benchmark of FIRE: with 0.3 the last few
            batches count alone. With one batch it has no effect.
        every: in place of `at`, again and again.

    Raises:
        UserError: for numbers outside their ranges; without an `ImageDataModule` or a `Supervised`.

    Example:
        ```yaml
        class_path: callbacks.DASH
        init_args: {at: [stages], least: 0.3}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        least: float = 0.3,
        average: float | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if not 0 <= least <= 1:
            raise UserError("least", value=least, fix="set a factor in [0, 1]")
        if average is not None and not 0 < average <= 1:
            raise UserError("average", value=average, fix="set a share in (0, 1], or null")
        self.least = least
        self.average = average

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse runs whose data cannot be passed over again, and networks without matrices."""
        check_parameters_kept("DASH", trainer)
        if not isinstance(module, Supervised):
            raise UserError(
                "DASH",
                problem=f"{type(module).__name__} does not say what its loss is",
                fix="use lightning_modules.Supervised",
            )
        if not isinstance(getattr(trainer, "datamodule", None), ImageDataModule):
            raise UserError("DASH", problem="needs datamodules.ImageDataModule")
        if not self._layers(module):
            raise UserError("DASH", problem="the network has no linear or convolutional layer")

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Take the gradient, and shrink."""
        assert isinstance(module, Supervised)
        layers = self._layers(module)
        direction_aware_shrink(layers, self._descent(trainer, module, layers), self.least)

    def _layers(self, module: LightningModule) -> dict[str, nn.Module]:
        return linear_layers(layers_with_state(unwrap(module)))

    def _descent(
        self, trainer: Trainer, module: Supervised, layers: dict[str, nn.Module]
    ) -> dict[str, Tensor]:
        """Return the negative gradient of the loss on the present training data."""
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        parameters = {
            name: value for name, value in own_parameters(layers).items() if value.requires_grad
        }
        sums = {name: torch.zeros_like(value) for name, value in parameters.items()}
        # In full precision: small gradients would be 0 in float16, and cosines with them.
        with preserve_state(module):
            for batch in data.training_pass():
                loss = module.objective.loss(module(batch.inputs), batch.targets)
                slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
                for name, slope in zip(parameters, slopes, strict=True):
                    if slope is None:
                        continue
                    with torch.no_grad():
                        if self.average is None:
                            sums[name] -= slope * len(batch.inputs)
                        else:
                            sums[name].lerp_(-slope, self.average)
        # Cosines do not ask for the number of examples, or of ranks.
        return {
            name: trainer.strategy.reduce(total, reduce_op="sum") for name, total in sums.items()
        }
