"""Optimizers that forget."""

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot


class OptimizerReset(OneShot):
    """Clears the optimizer state, as between the stages of Berariu et al. 2021.

    https://arxiv.org/abs/2106.00042

    Changes: optimizer state (moments and step counts begin anew). Keeps: parameters, normalisation
    statistics, rates, weight decay, and the learning-rate clock. A no-op with an optimizer
    without state (SGD without momentum).

    Args:
        at: moments.
        every: in place of `at`, again and again.

    Example:
        ```yaml
        class_path: callbacks.OptimizerReset
        init_args: {at: [stages]}
        ```
    """

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Clear the state."""
        for optimizer in trainer.optimizers:
            optimizer.state.clear()
