"""Optimizers that forget."""

from typing import Literal

from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from plasticity_lab.surgery.optimizer_state import clear_moments, clear_step_counts
from plasticity_lab.timing import Time


class OptimizerReset(OneShot):
    """Clears the optimizer state, as between the stages of Berariu et al. 2021.

    https://arxiv.org/abs/2106.00042; Asadi et al. 2023, https://arxiv.org/abs/2306.17833, do so in
    reinforcement learning; Ellis et al. 2024, https://arxiv.org/abs/2412.17113 (Adam-Rel), keep the
    moments and reset the step counts alone.

    Changes: optimizer state (moments and step counts begin anew). Keeps: parameters, normalisation
    statistics, rates, weight decay, and the learning-rate clock. A no-op with an optimizer
    without state (SGD without momentum).

    Args:
        at: moments.
        what: `all`; the `moments` alone, whose bias is then not corrected; or the `steps` alone,
            after which Adam takes its moments for those of a first step.
        every: in place of `at`, again and again.

    Example:
        ```yaml
        class_path: callbacks.OptimizerReset
        init_args: {at: [stages]}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        what: Literal["all", "moments", "steps"] = "all",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        self.what = what

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Clear the state."""
        for optimizer in trainer.optimizers:
            if self.what == "all":
                optimizer.state.clear()
            elif self.what == "moments":
                clear_moments(optimizer)
            else:
                clear_step_counts(optimizer)
