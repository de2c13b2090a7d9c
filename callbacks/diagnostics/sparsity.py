"""How many weights are left."""

from dataclasses import dataclass

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.sparsity import prunable_weights, surviving_share


@dataclass(repr=False, eq=False, kw_only=True)
class Sparsity(Diagnostic):
    """Share of weights that survive pruning, of all and of each layer.

    Frankle & Carbin 2019, https://arxiv.org/abs/1803.03635, call it P_m, in percent. Weights of
    linear and convolutional layers count, and those that are exactly 0 are pruned. Values, in
    [0, 1]: `surviving_weights`, `surviving_weights/<layer>`.

    Raises:
        UserError: without linear and convolutional layers.

    Example:
        ```yaml
        class_path: callbacks.Sparsity
        init_args: {every: 1ep}
        ```
    """

    charts = ("surviving_weights",)
    tags = (*charts, "surviving_weights/<layer>")

    def check(self, look: Look) -> None:
        """Refuse a network that has no such weights."""
        if not prunable_weights(look.network):
            raise UserError(
                "network", problem="has no linear or convolutional layer", fix="remove it"
            )

    def measure(self, look: Look) -> Measured:
        """Return the shares."""
        weights = prunable_weights(look.network)
        measured = {"surviving_weights": surviving_share(weights)}
        for name, weight in weights.items():
            layer = name.rpartition(".")[0]
            measured[f"surviving_weights/{layer}"] = surviving_share({name: weight})
        return measured
