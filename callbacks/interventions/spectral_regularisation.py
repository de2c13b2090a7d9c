"""Largest singular values of weights held at 1."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.clock import Clock
from callbacks.interventions.base import Draws
from callbacks.interventions.weight_penalty import WeightPenalty
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.layer_selection import own_parameters
from plasticity_lab.surgery.penalty_gradient import add_penalty_gradient
from plasticity_lab.surgery.spectral_penalty import power_iteration, spectral_penalty
from plasticity_lab.surgery.weight_matrices import as_matrix, matrices, matrix_layers


class SpectralRegularisation(WeightPenalty):
    """Pulls the largest singular value of each weight to 1 (Lewandowski et al. 2025).

    https://arxiv.org/abs/2406.06811: strength times the sum over layers of (s^k - 1)^2 + |b|^(2k),
    where s is that of a linear layer's or convolution's weight, kernels reshaped to (outputs,
    rest), and b its bias.

    The penalty is in every step's gradient and in no logged loss; norm layers are left out.
    Changes: the gradient of the parameters. Keeps: normalisation statistics, the learning-rate
    clock, optimizer state (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity.
        power: k, 1 or more; the paper's is 2.
        iterations: power iterations at each step, from vectors that are kept from step to step and
            in checkpoints, 1 or more; the paper's is 1. None decomposes each weight.

    Raises:
        UserError: for values out of range, a network without linear layers and convolutions, or a
            fused optimizer under `16-mixed`.

    Example:
        ```yaml
        class_path: callbacks.SpectralRegularisation
        init_args: {levels: {0ep: 0.001}}
        ```
    """

    def __init__(
        self, levels: dict[str, float], power: int = 2, iterations: int | None = 1
    ) -> None:
        super().__init__(levels)
        if power < 1:
            raise UserError("power", value=power, fix="set 1 or more; the paper's is 2")
        if iterations is not None and iterations < 1:
            raise UserError("iterations", value=iterations, fix="set 1 or more, or null")
        self.power = power
        self.iterations = iterations
        self._left: dict[str, Tensor] = {}

    def begin(self) -> None:
        """Forget the singular vectors."""
        self._left = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the singular vectors."""
        return {"left": self._left}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the singular vectors of a checkpoint."""
        self._left = dict(state_dict["left"])

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without weights that are matrices."""
        super().check(trainer, module)
        try:
            matrix_layers(unwrap(module))
        except UserError as error:
            raise error.within("SpectralRegularisation") from error

    def add_gradient(self, trainer: Trainer, module: LightningModule, strength: float) -> None:
        """Pull by the strength."""
        layers = matrix_layers(unwrap(module))
        parameters, weights = own_parameters(layers), matrices(layers)
        biases = [value for value in parameters.values() if value.ndim == 1]

        vectors = None
        if self.iterations is not None:
            clock = Clock.of(trainer)
            draws = Draws(clock.seed, clock.initial_seed, "SpectralRegularisation", clock.now)
            vectors = {
                name: self._vectors(name, as_matrix(weight.detach()), draws, self.iterations)
                for name, weight in weights.items()
            }

        add_penalty_gradient(
            lambda: spectral_penalty(weights, biases, self.power, vectors),
            parameters.values(),
            strength,
        )

    def _vectors(
        self, name: str, matrix: Tensor, draws: Draws, iterations: int
    ) -> tuple[Tensor, Tensor]:
        """Return the singular vectors of a weight after some more iterations, and keep the left."""
        matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
        left = self._left.get(name)
        if left is None:
            left = torch.randn(len(matrix), generator=draws.generator(name))
        left, right = power_iteration(matrix, left.to(matrix), iterations)
        self._left[name] = left
        return left, right
