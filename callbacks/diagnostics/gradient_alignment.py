"""How well the gradients of the training rule are aligned with the true ones."""

from dataclasses import dataclass

from torch import Tensor, nn

from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from lightning_modules.training_rules import Backpropagation, TrainingRule
from plasticity_lab.measurements.alignment_angles import alignment_angles
from plasticity_lab.measurements.parameter_groups import group_by_block, trained_parameters
from plasticity_lab.surgery.fresh_copy import copy_network

TAG = "alignment_angle"


@dataclass(repr=False, eq=False, kw_only=True)
class GradientAlignment(ProbeDiagnostic):
    """Angle between what the run's training rule has for gradients and the true ones, in degrees.

    The alignment angle of feedback alignment (Lillicrap et al. 2016,
    https://doi.org/10.1038/ncomms13276), here of the mean loss on the probe, without terms that
    callbacks add, in evaluation mode: `alignment_angle` over all trained parameters and
    `alignment_angle/<block>`. 0 is the gradient, which backpropagation has everywhere; below 90
    degrees a small step descends; random directions lie near 90. A block without gradient or
    without signal has no angle.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the papers'
    convention is not known.

    Example:
        ```yaml
        class_path: callbacks.GradientAlignment
        init_args: {every: 1ep, examples: 500}
        ```
    """

    charts = (TAG,)
    tags = (TAG, f"{TAG}/<block>")

    def check(self, look: Look) -> None:
        """Refuse a module whose loss is not known."""
        _ = look.objective

    def measure(self, look: Look) -> Measured:
        """Return the angles, of all parameters and of each block's."""
        gradients = _passed_back(look, Backpropagation())
        signals = _passed_back(look, look.rule or Backpropagation())
        blocks = group_by_block(look.network, gradients)
        groups = {TAG: list(gradients)}
        groups |= {f"{TAG}/{block}": names for block, names in blocks.items()}
        return alignment_angles(gradients, signals, groups)


def _passed_back(look: Look, rule: TrainingRule) -> dict[str, Tensor]:
    """Return what a rule adds to `.grad`, by parameter; zeros where it adds nothing."""
    network: nn.Module = copy_network(look.network)

    def loss() -> Tensor:
        with rule.forward_pass(network):
            outputs = network(look.probe.inputs)
        return look.objective.mean_loss(outputs, look.probe.targets)

    rule.backward(network, loss(), loss)
    return {
        name: value.new_zeros(value.shape) if value.grad is None else value.grad
        for name, value in trained_parameters(network).items()
    }
