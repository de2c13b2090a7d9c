"""Weights pulled back to their initial values."""

from typing import Literal

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.clock import Clock
from callbacks.interventions.base import Draws
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.interventions.weight_penalty import WeightPenalty
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import Key, redraw
from plasticity_lab.surgery.l2_init import Comparison, Norm, add_l2_init_gradient
from plasticity_lab.surgery.layer_selection import NORM_LAYERS, layers_with_state, own_parameters


class L2Init(WeightPenalty):
    """Weight decay towards the initial weights instead of zero (Kumar et al. 2024).

    Regenerative regularisation, https://arxiv.org/abs/2308.11958.

    The penalty is in every step's gradient and in no logged loss; norm layers are left out, as in
    the paper. Changes: the gradient of the parameters. Keeps: normalisation statistics, the
    learning-rate clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; the paper's are 1e-2 … 1e-5, 0 is the identity.
        norm: of the difference d between weights and target: `l2` is |d|^2 / 2, `l1` |d|, `huber`
            d^2 / 2 up to 1 and |d| - 1/2 beyond, each summed over all entries.
        to: the run's own `initial` values, or a `fresh` draw at each step, which costs an
            initialisation of the network each time.
        compare: each of the `entries` with its own target, or `sorted` entries of each tensor with
            its sorted targets (the Wasserstein regenerative regularisation of Lewandowski et al.
            2024, https://arxiv.org/abs/2312.00246, in place of the distance of single weights that
            of their distribution).

    Raises:
        UserError: below 0, for layers whose initial values cannot be drawn again, or a fused
            optimizer under `16-mixed`.

    Example:
        ```yaml
        class_path: callbacks.L2Init
        init_args: {levels: {0ep: 0.01}}
        ```
    """

    def __init__(
        self,
        levels: dict[str, float],
        norm: Norm = "l2",
        to: Literal["initial", "fresh"] = "initial",
        compare: Comparison = "entries",
    ) -> None:
        super().__init__(levels)
        self.norm = norm
        self.to = to
        self.compare = compare
        self._initial: dict[str, Tensor] = {}

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers whose initial values cannot be drawn again."""
        super().check(trainer, module)
        if self.to == "initial":
            check_initial_values(module, "L2Init")
        layers = self._layers(module)
        if not own_parameters(layers):
            raise UserError("L2Init", problem="the network has nothing but norms", fix="remove it")
        check_can_redraw("L2Init", trainer, module, layers)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._initial = {}

    def add_gradient(self, trainer: Trainer, module: LightningModule, strength: float) -> None:
        """Pull by the strength."""
        add_l2_init_gradient(
            own_parameters(self._layers(module)),
            self._target(trainer, module),
            strength,
            self.norm,
            self.compare,
        )

    def _target(self, trainer: Trainer, module: LightningModule) -> dict[str, Tensor]:
        clock = Clock.of(trainer)
        draws = Draws(clock.seed, clock.initial_seed, "L2Init", clock.now)
        if self.to == "fresh":
            return self._drawn(module, draws.key)
        if not self._initial:
            self._initial = self._drawn(module, draws.initial_key)
        return self._initial

    def _drawn(self, module: LightningModule, key: Key) -> dict[str, Tensor]:
        drawn = redraw(unwrap(module), self._layers(module), key, holder=module)
        return {name: tensor.to(module.device) for name, tensor in drawn.items()}

    def _layers(self, module: LightningModule) -> dict[str, nn.Module]:
        return {
            name: layer
            for name, layer in layers_with_state(unwrap(module)).items()
            if not isinstance(layer, NORM_LAYERS)
        }
