"""Weights shrunk where they point away from the descent of new data."""

import itertools
from operator import itemgetter
from typing import Literal

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

    The gradient G is an average over the stages in which the present training data have arrived, in
    order: G <- (1 - average) G + average (-g), g the gradient of the mean loss over what a stage
    has brought, without augmentation. So new data count more than old ones; with one stage it is
    the mean loss. The network is in evaluation mode, as the authors' is (that of the port in the
    code of FIRE is in training mode).

    Changes: parameters of linear and convolutional layers, each row, each kernel and each bias by a
    factor. Keeps: normalisation layers and their statistics, optimizer state, the learning-rate
    clock. The authors keep momentum, too.

    Args:
        at: moments; the paper's is every arrival of data, `stages`.
        least: smallest factor, in [0, 1]; 1 is the identity. The paper's is 0.3, and 0.05 in the
            benchmark of FIRE.
        average: weight in (0, 1] of the next one; the paper's is 0.3.
        over: `stages`, or the `batches` of one pass over the training data as training sees them,
            augmentation included, as in the benchmark of FIRE, where with 0.3 the last few batches
            count alone.
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
        average: float = 0.3,
        over: Literal["stages", "batches"] = "stages",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if not 0 <= least <= 1:
            raise UserError("least", value=least, fix="set a factor in [0, 1]")
        if not 0 < average <= 1:
            raise UserError("average", value=average, fix="set a share in (0, 1]")
        self.least = least
        self.average = average
        self.over = over

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
        """Return the averaged negative gradient of the loss on the present training data."""
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        parameters = {
            name: value for name, value in own_parameters(layers).items() if value.requires_grad
        }
        passed = data.arrivals() if self.over == "stages" else enumerate(data.training_pass())
        descent = {name: torch.zeros_like(value) for name, value in parameters.items()}
        # In full precision: small gradients would be 0 in float16, and cosines with them.
        with preserve_state(module):
            for _, batches in itertools.groupby(passed, key=itemgetter(0)):
                sums = {name: torch.zeros_like(value) for name, value in parameters.items()}
                examples = torch.zeros((), device=module.device)
                for _, batch in batches:
                    if not len(batch.inputs):
                        continue
                    loss = module.objective.loss(module(batch.inputs), batch.targets)
                    slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
                    examples += len(batch.inputs)
                    for name, slope in zip(parameters, slopes, strict=True):
                        if slope is not None:
                            sums[name] -= slope * len(batch.inputs)
                everywhere = trainer.strategy.reduce(examples, reduce_op="sum")
                for name, total in sums.items():
                    whole = trainer.strategy.reduce(total, reduce_op="sum") / everywhere
                    descent[name].lerp_(whole, self.average)
        return descent
