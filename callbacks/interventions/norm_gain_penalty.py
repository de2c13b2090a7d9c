"""Gains of batch norm pulled to zero."""

import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.weight_penalty import WeightPenalty
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.norm_gains import norm_gains
from plasticity_lab.surgery.penalty_gradient import add_penalty_gradient


class NormGainPenalty(WeightPenalty):
    """Pulls the gains of batch norm to 0: strength times the sum of their magnitudes.

    Network slimming (Liu et al. 2017, https://arxiv.org/abs/1708.06519): channels whose gains stay
    small can then be removed. `python -m plasticity_lab.analysis.slimming` says how many each layer
    keeps, and `initial_weights_filters: norm_gain` begins the smaller network from what is left.

    The penalty is in every step's gradient and in no logged loss. Changes: the gradient of the
    parameters that are gains. Keeps: normalisation statistics, the learning-rate clock, optimizer
    state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity. Rethinking the value of pruning
            (Liu et al. 2019) has 1e-4 for VGG and 1e-5 for ResNets.

    Raises:
        UserError: for strengths below 0, a network without gains, or a fused optimizer under
            `16-mixed`.

    Example:
        ```yaml
        class_path: callbacks.NormGainPenalty
        init_args: {levels: {0ep: 1.0e-4}}
        ```
    """

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network in which it has nothing to act on."""
        super().check(trainer, module)
        if not norm_gains(unwrap(module)):
            raise UserError("NormGainPenalty", problem="the network has no batch norm with gains")

    def add_gradient(self, trainer: Trainer, module: LightningModule, strength: float) -> None:
        """Pull by the strength."""
        gains = list(norm_gains(unwrap(module)).values())
        add_penalty_gradient(
            lambda: torch.stack([gain.abs().sum() for gain in gains]).sum(), gains, strength
        )
