"""Rows of weights held orthogonal."""

from pytorch_lightning import LightningModule, Trainer
from torch import nn

from callbacks.interventions.weight_penalty import WeightPenalty
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import last_layer
from plasticity_lab.surgery.layer_selection import NORM_LAYERS, layers_with_state
from plasticity_lab.surgery.parseval_penalty import parseval_penalty
from plasticity_lab.surgery.penalty_gradient import add_penalty_gradient
from plasticity_lab.surgery.weight_matrices import matrices, matrix_layers


class ParsevalRegularisation(WeightPenalty):
    """Pulls the rows of weights towards orthogonal ones of equal length (Chung et al. 2024).

    https://arxiv.org/abs/2412.07224: strength times the sum over weights of |W W' - s I|^2, of
    linear layers and convolutions, kernels reshaped to (outputs, rest).

    By default as the authors' code: hidden layers, `scale: 2`; its strength is 1e-3 or 1e-4 times
    (64 / width)^2. FIRE's (Han et al. 2026): `head: true`, `norm_gains: true`, `scale: 1`, strength
    1e-3 (ResNet-18) to 1e-5 (ViT). The penalty is in every step's gradient and in no logged loss.
    Changes: the gradient of the parameters. Keeps: normalisation statistics, the learning-rate
    clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity.
        scale: s, the squared length of rows, above 0; 2 is that of an orthogonal initialisation
            for ReLU.
        head: whether the last layer is pulled too.
        norm_gains: whether the gains g of normalisation layers are too, by |g^2 - s|^2.

    Raises:
        UserError: for values out of range, a network in which it has nothing to act on, or a fused
            optimizer under `16-mixed`.

    Example:
        ```yaml
        class_path: callbacks.ParsevalRegularisation
        init_args: {levels: {0ep: 0.001}}
        ```
    """

    def __init__(
        self,
        levels: dict[str, float],
        scale: float = 2.0,
        head: bool = False,
        norm_gains: bool = False,
    ) -> None:
        super().__init__(levels)
        if not scale > 0:
            raise UserError("scale", value=scale, fix="set a number above 0, such as 1 or 2")
        self.scale = scale
        self.head = head
        self.norm_gains = norm_gains

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network in which it has nothing to act on."""
        super().check(trainer, module)
        try:
            weights, gains = self._pulled(unwrap(module))
        except UserError as error:
            raise error.within("ParsevalRegularisation") from error
        if not weights:
            raise UserError(
                "ParsevalRegularisation",
                problem="the network has no weights below its last layer",
                fix="set head: true",
            )
        if self.norm_gains and not gains:
            raise UserError(
                "ParsevalRegularisation: norm_gains",
                value="true",
                problem="the network has no normalisation layers with gains",
                fix="remove it",
            )

    def add_gradient(self, trainer: Trainer, module: LightningModule, strength: float) -> None:
        """Pull by the strength."""
        weights, gains = self._pulled(unwrap(module))
        add_penalty_gradient(
            lambda: parseval_penalty(weights, gains, self.scale), [*weights, *gains], strength
        )

    def _pulled(self, network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the weights and the gains that it acts on."""
        layers = matrix_layers(network)
        if not self.head:
            head = last_layer(network)
            layers = {
                name: layer
                for name, layer in layers.items()
                if name != head and not name.startswith(f"{head}.")
            }
        weights = list(matrices(layers).values())

        gains: list[nn.Parameter] = []
        if self.norm_gains:
            norms = [
                one for one in layers_with_state(network).values() if isinstance(one, NORM_LAYERS)
            ]
            gains = [norm.weight for norm in norms if isinstance(norm.weight, nn.Parameter)]
        return weights, gains
