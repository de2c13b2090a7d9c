"""Weights pulled back to their initial values."""

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.clock import Clock
from callbacks.interventions.base import Level
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from lightning_modules.build_optimizer import build_optimizer
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.l2_init import add_l2_init_gradient
from plasticity_lab.surgery.layer_selection import layers_with_state, own_parameters

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


class L2Init(Level):
    """Weight decay towards the initial weights instead of zero (Kumar et al. 2024).

    Regenerative regularisation, https://arxiv.org/abs/2308.11958.

    The penalty is in every step's gradient and in no logged loss; norm layers are left out, as in
    the paper. Changes: the gradient of the parameters. Keeps: normalisation statistics, the
    learning-rate clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; the paper's are 1e-2 … 1e-5, 0 is the identity.

    Raises:
        UserError: below 0, for layers whose initial values cannot be drawn again, or a fused
            optimizer under `16-mixed`.

    Example:
        ```yaml
        class_path: callbacks.L2Init
        init_args: {levels: {0ep: 0.01}}
        ```
    """

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        if negative := [value for _, value in self.levels.entries if not value >= 0]:
            raise UserError("levels", value=negative[0], problem="a strength is 0 or more")
        self._strength = 0.0
        self._initial: dict[str, Tensor] = {}

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers whose initial values cannot be drawn again."""
        check_initial_values(module, "L2Init")
        optimizer = build_optimizer(module).optimizer
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            raise UserError(
                "L2Init",
                problem="a fused optimizer hides gradients' scale under 16-mixed",
                fix="use bf16-mixed, or fused: false",
            )
        check_can_redraw("L2Init", trainer, module, self._layers(module))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Of an earlier fit, perhaps of another module.
        self._strength, self._initial = 0.0, {}

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Pull by it from now on."""
        self._strength = value
        if not self._initial:
            seed = Clock.of(trainer).initial_seed
            layers = self._layers(module)
            initial = redraw(
                unwrap(module), layers, lambda name: (seed, "init", name), holder=module
            )
            self._initial = {name: tensor.to(module.device) for name, tensor in initial.items()}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        add_l2_init_gradient(own_parameters(self._layers(pl_module)), self._initial, self._strength)

    def _layers(self, module: LightningModule) -> dict[str, nn.Module]:
        return {
            name: layer
            for name, layer in layers_with_state(unwrap(module)).items()
            if not isinstance(layer, _NORMS)
        }
