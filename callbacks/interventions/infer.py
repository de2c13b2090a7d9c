"""Initial feature regularisation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.clock import Clock
from callbacks.interventions.base import Draws
from callbacks.interventions.feature_penalty import FeaturePenalty
from callbacks.interventions.redraw_checks import check_can_redraw, check_initial_values
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import record_last_features
from plasticity_lab.measurements.infer_penalty import infer_penalty
from plasticity_lab.randomness import RandomState, generator
from plasticity_lab.surgery.fresh_copy import fresh_copy
from plasticity_lab.surgery.layer_selection import layers_with_state


class InFeR(FeaturePenalty):
    """Holds what random heads make of the last features to its beginning (Lyle et al. 2022).

    Initial feature regularisation, https://arxiv.org/abs/2204.09560: strength times the mean over a
    batch of the sum over heads of (u'h - scale * u'h_0)^2, where h are the last hidden features and
    h_0 those of the initial network on the same images, in training mode with the same dropout.

    Here the heads u stay as they are drawn, N(0, 1 / features), since no parameter is added to the
    optimizer's; the paper trains them with the network, from the initial values that also make the
    targets, and can therefore scale those by 100. With fixed heads such a scale would have to be
    that of the features, so that the default is 1.

    The penalty is in the loss that is minimised and in none that is logged. Changes: the gradient
    of the parameters below the last layer. Keeps: normalisation statistics, the learning-rate
    clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; the paper's is 0.1, 0 is the identity.
        heads: number of heads, 1 or more; the paper's is 10.
        scale: of the targets, above 0; the paper's, of trained heads, is 100.

    Raises:
        UserError: for values out of range, a module that is no `Supervised`, a compiled network,
            one without a last layer, or layers whose initial values cannot be drawn again.

    Example:
        ```yaml
        class_path: callbacks.InFeR
        init_args: {levels: {0ep: 0.1}}
        ```
    """

    def __init__(self, levels: dict[str, float], heads: int = 10, scale: float = 1.0) -> None:
        super().__init__(levels)
        if heads < 1:
            raise UserError("heads", value=heads, fix="set 1 or more; the paper's is 10")
        if not scale > 0:
            raise UserError("scale", value=scale, fix="set a number above 0")
        self.heads = heads
        self.scale = scale
        self._initial: nn.Module | None = None
        self._random_state: RandomState | None = None

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse networks whose initial values cannot be drawn again."""
        super().check(trainer, module)
        check_initial_values(module, "InFeR")
        check_can_redraw("InFeR", trainer, module, layers_with_state(unwrap(module)))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._initial = None

    @contextmanager
    def record(self, module: LightningModule) -> Iterator[None]:
        """Record the last features, and the random draws with which they are made."""
        self._random_state = RandomState(module.device)
        with super().record(module):
            yield

    def feature_penalty(self, module: LightningModule, batch: Any, features: Tensor) -> Tensor:
        """Return the squared distance of the heads' outputs."""
        clock = Clock.of(module.trainer)
        if self._initial is None:
            draws = Draws(clock.seed, clock.initial_seed, "InFeR", clock.now)
            self._initial = fresh_copy(unwrap(module), draws.initial_key, holder=module).train()
        width = features.shape[1]
        heads = torch.randn(
            self.heads, width, generator=generator(clock.initial_seed, "InFeR", "heads")
        )
        initial = self._features_of(self._initial, batch[0])
        return infer_penalty(features, initial, heads.to(features) / width**0.5, self.scale)

    @torch.no_grad()
    def _features_of(self, network: nn.Module, inputs: Tensor) -> Tensor:
        assert self._random_state is not None
        with self._random_state.again(), record_last_features(network) as features:
            network(inputs)
        return features[-1].float()
