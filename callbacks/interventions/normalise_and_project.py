"""Weights held at the norms that they began with."""

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.interventions.base import Draws, EachStep
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.project_norms import project_norms
from plasticity_lab.surgery.weight_matrices import matrices, matrix_layers


class NormaliseAndProject(EachStep):
    """Scales each weight back to its initial norm after each step (NaP, Lyle et al. 2024).

    https://arxiv.org/abs/2407.01800. The normalisation layers before activations, under which the
    scale of a weight is of no effect but for the size of steps, are the network's own: `norm:
    layer`. Without them it is projection alone.

    Weights are those of linear layers and convolutions, each by its Frobenius norm; biases and the
    gains and offsets of normalisation layers are left alone, and so are weights that begin at 0
    and frozen ones.
    The last step of a run is not followed by it. Changes: these parameters. Keeps: normalisation
    statistics, optimizer state, learning-rate clock.

    Args:
        levels: `{moment: 1 or 0}`, 1 from when it acts, 0 from when it does no longer; 0 is the
            identity.

    Raises:
        UserError: for other values, a network without such weights, or layers whose initial values
            cannot be drawn again.

    Example:
        ```yaml
        class_path: callbacks.NormaliseAndProject
        init_args: {levels: {0ep: 1}}
        ```
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if other := [value for _, value in self.levels.entries if value not in (0, 1)]:
            raise UserError("levels", value=other[0], fix="set 1 (on) or 0 (off)")
        self._norms: dict[str, Tensor] = {}

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network whose initial norms are not known."""
        check_initial_values(module, "NormaliseAndProject")
        check_can_redraw("NormaliseAndProject", trainer, module, self._layers(module))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Of an earlier fit, perhaps of another module.
        self._norms = {}

    def apply(self, trainer: Trainer, module: LightningModule, value: float, draws: Draws) -> None:
        """Project."""
        if not value:
            return
        layers = self._layers(module)
        if not self._norms:
            initial = redraw(unwrap(module), layers, draws.initial_key, holder=module)
            self._norms = {name: one.norm().to(module.device) for name, one in initial.items()}
        trained = {name: one for name, one in matrices(layers).items() if one.requires_grad}
        project_norms(trained, self._norms)

    def _layers(self, module: LightningModule) -> dict[str, nn.Module]:
        try:
            return matrix_layers(unwrap(module))
        except UserError as error:
            raise error.within("NormaliseAndProject") from error
