"""Weights made isometries."""

from typing import Literal

from pytorch_lightning import LightningModule, Trainer
from torch import nn

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.redraw_checks import check_parameters_kept
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.fire import orthogonalise
from plasticity_lab.surgery.layer_selection import layers_with_state, select_layers
from plasticity_lab.surgery.optimizer_state import reset_optimizer_state
from plasticity_lab.surgery.weight_matrices import linear_layers
from plasticity_lab.timing import Time


class FIRE(OneShot):
    """Replaces weights by the isometries nearest to them, scaled (Han et al. 2026).

    https://arxiv.org/abs/2602.08040

    All singular values become alike, as in a fresh orthogonal initialisation, while directions stay
    as near as they can. The paper's moment is every arrival of data, and its optimizer is new then.

    Changes: parameters: weights of linear and convolutional layers, heads and shortcuts included;
    optimizer state (`optimizer_state: reset`). Keeps: biases, normalisation layers and their
    statistics, the learning-rate clock.

    Args:
        at: moments.
        iterations: of Newton-Schulz, 1 or more; the authors' 10 leave small singular values small.
            None is exact.
        layers: names and patterns of layers; without them all. The paper's are queries and keys
            alone in a transformer.
        optimizer_state: `reset` of these weights, or `keep`.
        every: in place of `at`, again and again.

    Raises:
        UserError: below one iteration, without a linear or convolutional layer, or for one whose
            weight is computed from others.

    Example:
        ```yaml
        class_path: callbacks.FIRE
        init_args: {at: [stages], optimizer_state: reset}
        ```
    """

    def __init__(
        self,
        at: list[Time] | None = None,
        iterations: int | None = 10,
        layers: list[str] | None = None,
        optimizer_state: Literal["reset", "keep"] = "keep",
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if iterations is not None and iterations < 1:
            raise UserError("iterations", value=iterations, fix="set 1 or more, or null: exact")
        self.iterations = iterations
        self.layers = layers
        self.optimizer_state = optimizer_state

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without matrices."""
        check_parameters_kept("FIRE", trainer)
        if not self._chosen(module):
            raise UserError(
                "FIRE", problem="chooses no linear or convolutional layer", fix="choose others"
            )

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Make them isometries."""
        chosen = self._chosen(module)
        orthogonalise(chosen, self.iterations)
        if self.optimizer_state == "reset":
            weights = [layer.get_parameter("weight") for layer in chosen.values()]
            reset_optimizer_state(trainer.optimizers, weights)

    def _chosen(self, module: LightningModule) -> dict[str, nn.Module]:
        network = unwrap(module)
        if self.layers:
            return linear_layers(select_layers(network, layers=self.layers))
        return linear_layers(layers_with_state(network))
