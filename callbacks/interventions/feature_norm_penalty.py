"""Last hidden features kept small."""

from typing import Any

from pytorch_lightning import LightningModule
from torch import Tensor

from callbacks.interventions.feature_penalty import FeaturePenalty
from plasticity_lab.measurements.features import mean_squared_norm


class FeatureNormPenalty(FeaturePenalty):
    """Pulls the last hidden features towards 0 (activation regularisation, Merity et al. 2017).

    https://arxiv.org/abs/1708.01009: strength times the mean over a batch of |h|^2, where h is what
    the last layer is given in the forward pass of training. (The paper's takes the mean over
    entries, of a recurrent network's activations after dropout.)

    The penalty is in the loss that is minimised and in none that is logged. Changes: the gradient
    of the parameters below the last layer. Keeps: normalisation statistics, the learning-rate
    clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity.

    Raises:
        UserError: below 0, for a module that is no `Supervised`, a compiled network, or one without
            a last layer.

    Example:
        ```yaml
        class_path: callbacks.FeatureNormPenalty
        init_args: {levels: {0ep: 0.001}}
        ```
    """

    def feature_penalty(self, module: LightningModule, batch: Any, features: Tensor) -> Tensor:
        """Return the mean squared norm."""
        return mean_squared_norm(features)
