"""Signs of batch norm's biases."""

from dataclasses import dataclass

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.norm_biases import negative_share, norm_biases
from plasticity_lab.measurements.parameter_groups import group_by_block


@dataclass(repr=False, eq=False, kw_only=True)
class NormBiases(Diagnostic):
    """Fraction of batch-norm biases that are negative (Tian et al. 2019).

    https://arxiv.org/abs/1905.13405

    A unit with a negative bias is zero on most examples. The paper finds that most biases of
    trained VGG networks are negative, above all in upper layers. Its code also counts biases of
    zero, which all are before training; here they do not count. Values: `negative_norm_biases`,
    `negative_norm_biases/<block>`.

    Raises:
        UserError: without batch norm.

    Example:
        ```yaml
        class_path: callbacks.NormBiases
        init_args: {every: 1ep}
        ```
    """

    charts = ("negative_norm_biases",)
    tags = (*charts, "negative_norm_biases/<block>")

    def check(self, look: Look) -> None:
        """Refuse a network that has no such biases."""
        if not norm_biases(look.network):
            raise UserError("network", problem="has no batch norm with biases", fix="remove it")

    def measure(self, look: Look) -> Measured:
        """Return the shares."""
        biases = norm_biases(look.network)
        measured = {"negative_norm_biases": negative_share(biases.values())}
        for block, names in group_by_block(look.network, biases).items():
            share = negative_share(biases[name] for name in names)
            measured[f"negative_norm_biases/{block}"] = share
        return measured
