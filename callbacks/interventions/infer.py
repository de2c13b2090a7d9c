"""Initial feature regularisation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.clock import Clock
from callbacks.interventions.base import Draws
from callbacks.interventions.loss_penalty import LossPenalty
from callbacks.interventions.network_checks import check_not_compiled
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from lightning_modules.networks import AuxiliaryHeadsNetwork
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import hooks
from plasticity_lab.measurements.infer_penalty import infer_penalty
from plasticity_lab.randomness import RandomState
from plasticity_lab.surgery.fresh_copy import fresh_copy
from plasticity_lab.surgery.layer_selection import layers_with_state


class InFeR(LossPenalty):
    """Holds auxiliary heads to a multiple of their initial outputs (Lyle et al. 2022).

    Initial feature regularisation, https://arxiv.org/abs/2204.09560: strength times the mean over a
    batch of the sum over heads of (g(x) - scale * g_0(x))^2, where g are linear heads on the last
    hidden features and g_0 what the initial heads make of the initial network's on the same images,
    in training mode with the same dropout. Heads and network are trained together, by the
    optimizer, whose weight decay acts on the heads too.

    The network must be an `AuxiliaryHeadsNetwork`, which holds the heads from the beginning. What
    resets all layers resets the heads too; the targets stay those of the run's initial values.

    The penalty is in the loss that is minimised and in none that is logged. Changes: the gradient
    of the heads and of the parameters below the last layer. Keeps: normalisation statistics, the
    learning-rate clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; the paper's is 0.1, 0 is the identity.
        scale: of the targets, above 0; the paper's is 100, 1 lets the penalty begin at 0.

    Raises:
        UserError: for values out of range, a module that is no `Supervised`, another network, a
            compiled one, or layers whose initial values cannot be drawn again.

    Example:
        ```yaml
        class_path: callbacks.InFeR
        init_args: {levels: {0ep: 0.1}}
        ```
    """

    def __init__(self, levels: dict[str, float], scale: float = 100.0) -> None:
        super().__init__(levels)
        if not scale > 0:
            raise UserError("scale", value=scale, fix="set a number above 0; the paper's is 100")
        self.scale = scale
        self._initial: nn.Module | None = None
        self._random_state: RandomState | None = None
        self._outputs: list[Tensor] = []

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse networks without heads, and those whose initial values cannot be drawn again."""
        super().check(trainer, module)
        network = unwrap(module)
        if not isinstance(network, AuxiliaryHeadsNetwork):
            raise UserError(
                "InFeR",
                problem=f"{type(network).__name__} has no auxiliary heads",
                fix="use lightning_modules.networks.AuxiliaryHeadsNetwork",
            )
        check_not_compiled("InFeR", module, "a compiled network hides its heads")
        check_initial_values(module, "InFeR")
        check_can_redraw("InFeR", trainer, module, layers_with_state(network))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._initial = None

    @contextmanager
    def record(self, module: LightningModule) -> Iterator[None]:
        """Record what the heads give out, and the random draws with which it is made."""
        self._random_state = RandomState(module.device)
        with _record_heads(unwrap(module)) as self._outputs:
            yield

    def penalty(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor:
        """Return the squared distance of the heads' outputs from their targets."""
        now, self._outputs = self._outputs[-1], []
        return infer_penalty(now.float(), self._initial_outputs(module, batch[0]), self.scale)

    @torch.no_grad()
    def _initial_outputs(self, module: LightningModule, inputs: Tensor) -> Tensor:
        """Return what the initial network's heads make of inputs, with the same random draws."""
        if self._initial is None:
            clock = Clock.of(module.trainer)
            draws = Draws(clock.seed, clock.initial_seed, "InFeR", clock.now)
            self._initial = fresh_copy(unwrap(module), draws.initial_key, holder=module).train()
        assert self._random_state is not None
        with self._random_state.again(), _record_heads(self._initial) as initial:
            self._initial(inputs)
        return initial[-1].float()


@contextmanager
def _record_heads(network: nn.Module) -> Iterator[list[Tensor]]:
    """Append what the heads of a network give out to the list that it yields."""
    outputs: list[Tensor] = []

    def keep(heads: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs.append(output)

    with hooks(network.get_submodule("auxiliary").register_forward_hook(keep)):
        yield outputs
