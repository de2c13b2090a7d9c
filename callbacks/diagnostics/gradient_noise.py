"""How much mini-batch gradients differ."""

from dataclasses import dataclass

import torch

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.gradient_covariance import gradient_covariance
from plasticity_lab.measurements.hvp import gradient


@dataclass(repr=False, eq=False, kw_only=True)
class GradientNoise(ProbeDiagnostic):
    """Covariance of mini-batch gradients: trace and largest eigenvalue (Jastrzebski et al. 2020).

    The break-even point, https://arxiv.org/abs/2002.09572. Tags: `gradient_covariance/trace`,
    `gradient_covariance/eigenvalue`. Costs one gradient of the probe, and memory for examples /
    batch_size gradients. Batches are the same throughout a run.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    convention is not known.

    Args:
        batch_size: examples in each batch; the covariance is about inversely proportional to it.

    Raises:
        UserError: if the probe has fewer than two batches.

    Example:
        ```yaml
        class_path: callbacks.GradientNoise
        init_args: {every: 1ep, examples: 2048, batch_size: 128}
        ```
    """

    charts = ("gradient_covariance/trace", "gradient_covariance/eigenvalue")
    tags = charts

    examples: int = 2048
    batch_size: int = 128

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if not 1 <= self.batch_size <= self.examples // 2:
            problem = f"two batches at least must fit into examples: {self.examples}"
            raise UserError("batch_size", self.batch_size, problem)

    def check(self, look: Look) -> None:
        """Refuse a module whose loss is not known."""
        _ = look.objective

    def measure(self, look: Look) -> Measured:
        """Return trace and largest eigenvalue."""
        parameters, targets = look.parameters, look.probe.targets
        order = torch.randperm(len(targets), generator=look.generator("gradient noise"))
        size = min(self.batch_size, len(order) // 2)
        batches = torch.split(order.to(targets.device), size)
        gradients = [
            gradient(look.loss_on(batch), parameters) for batch in batches if len(batch) == size
        ]
        covariance = gradient_covariance(gradients)
        return {
            "gradient_covariance/trace": covariance.trace,
            "gradient_covariance/eigenvalue": covariance.largest,
        }
