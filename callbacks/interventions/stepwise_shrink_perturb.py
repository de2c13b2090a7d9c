"""Weights shrunk and perturbed after each step."""

from typing import Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.interventions.base import Draws, EachStep
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import normal_like
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters
from plasticity_lab.surgery.shrink_perturb import shrink_perturb


class StepwiseShrinkPerturb(EachStep):
    """Shrinks all weights and adds noise after each optimizer step (Dohare et al. 2024).

    https://doi.org/10.1038/s41586-024-07711-7. Not the method of Ash & Adams, who do it when data
    arrive (`ShrinkPerturb`). Dohare et al. add `gaussian` noise and shrink by the optimizer's
    weight decay; Kumar et al. 2024 (https://arxiv.org/abs/2308.11958) have `shrink: 1 - s` and a
    `fresh` initialisation; others go towards the run's own `initial` values.

    The last step of a run is not followed by it. Changes: all parameters, batch norm's included.
    Keeps: normalisation statistics, optimizer state, learning-rate clock.

    Args:
        levels: `{moment: scale of the noise}`, 0 or more; at 0 it neither perturbs nor shrinks.
            Dohare et al.: a standard deviation of 1e-5 (CIFAR-100, ImageNet) or 1e-4 … 1e-6
            (permuted MNIST); Kumar et al.: 1e-2 … 1e-5.
        shrink: factor of the weights at each step, in [0, 1]; 1 leaves that to weight decay.
        noise: `gaussian` of standard deviation 1, a `fresh` initialisation at each step, or the
            run's own `initial` values.

    Raises:
        UserError: for values out of range, or layers that cannot be drawn again.

    Example:
        ```yaml
        class_path: callbacks.StepwiseShrinkPerturb
        init_args: {levels: {0ep: 1.0e-5}}
        ```
    """

    def __init__(
        self,
        levels: dict[str, float],
        shrink: float = 1.0,
        noise: Literal["gaussian", "fresh", "initial"] = "gaussian",
    ) -> None:
        super().__init__(levels)
        if negative := [value for _, value in self.levels.entries if not value >= 0]:
            raise UserError("levels", value=negative[0], problem="a scale of noise is 0 or more")
        if not 0 <= shrink <= 1:
            raise UserError("shrink", value=shrink, fix="set a factor in [0, 1]")
        self.shrink = shrink
        self.noise = noise
        self._initial: dict[str, Tensor] = {}

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that cannot be drawn again."""
        if self.noise == "initial":
            check_initial_values(module, "noise: initial")
        if self.noise != "gaussian":
            layers = layers_with_state(unwrap(module))
            check_can_redraw("StepwiseShrinkPerturb", trainer, module, layers)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Of an earlier fit, perhaps of another module.
        self._initial = {}

    def apply(self, trainer: Trainer, module: LightningModule, value: float, draws: Draws) -> None:
        """Shrink and perturb."""
        if value:
            parameters = {
                name: parameter
                for name, parameter in own_parameters(layers_with_state(unwrap(module))).items()
                if parameter.requires_grad
            }
            noise = self._noise(module, parameters, draws)
            shrink_perturb(parameters, noise, self.shrink, value)

    def _noise(
        self, module: LightningModule, parameters: dict[str, torch.nn.Parameter], draws: Draws
    ) -> dict[str, Tensor]:
        if self.noise == "gaussian":
            return {
                name: normal_like(parameter, *draws.key(name))
                for name, parameter in parameters.items()
            }
        network = unwrap(module)
        layers = layers_with_state(network)
        if self.noise == "fresh":
            return redraw(network, layers, draws.key, holder=module)
        if not self._initial:
            initial = redraw(network, layers, draws.initial_key, holder=module)
            self._initial = {name: tensor.to(module.device) for name, tensor in initial.items()}
        return self._initial
