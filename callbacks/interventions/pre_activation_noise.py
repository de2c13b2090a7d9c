"""Noise before the activations while the network trains."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from callbacks.clock import Clock
from callbacks.diagnostics.look import Look
from callbacks.interventions.network_checks import check_not_compiled, check_on_blank_examples
from callbacks.interventions.strength import Strength
from lightning_modules import PassContext, Supervised
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.surgery.pre_activation_noise import noise_before_activations


class PreActivationNoise(Strength, PassContext):
    """Adds Gaussian noise to what enters each activation of hidden units, in training alone.

    Li, Wei & Ma 2019, https://arxiv.org/abs/1907.04595, where it does for a small learning rate
    what a large one does: noise of 0.4 after batch norm and before every ReLU, gone when the large
    rate would be annealed. For maps it is one (height, width) tensor for each activation, shared by
    all examples of the batch and all channels. In the same way it is one number for each token of
    (examples, tokens, units), and one number for (examples, units); the paper has maps alone.

    It is drawn anew for each batch and each activation, keyed by seed, epoch, batch and the number
    of the activation, and is the same on every rank and in both passes of a rule that passes twice.
    Validation, diagnostics, and passes of other interventions have none. `train/loss` and
    `train/accuracy` are those of the network with noise.

    Changes: the outputs of the network in training, and so gradients; normalisation statistics, as
    layers above an activation see the noise. Keeps: parameters, optimizer state (but for what
    gradients do to it), the learning-rate clock.

    Args:
        levels: `{moment: standard deviation}`, 0 or more; 0 is the identity.

    Raises:
        UserError: below 0, for a module that is no `Supervised`, a network without activations, or
            a compiled one.

    Example:
        ```yaml
        class_path: callbacks.PreActivationNoise
        init_args: {levels: {0ep: 0.4, 12ep: 0}}
        ```
    """

    _batch_idx = 0

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse other modules, and networks whose activations are not there or not seen."""
        name = type(self).__name__
        if not isinstance(module, Supervised):
            raise UserError(
                name,
                problem=f"{type(module).__name__} lets no callback change its forward pass",
                fix="use lightning_modules.Supervised",
            )
        check_not_compiled(name, module, "a compiled network hides its activations")
        check_on_blank_examples(name, trainer, module, _check_activations)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._batch_idx = batch_idx

    def forward_pass(self, module: LightningModule) -> AbstractContextManager[None]:
        """Add the noise of the present batch."""
        clock = Clock.of(module.trainer)
        where = clock.now.epoch, self._batch_idx

        def draws(number: int) -> torch.Generator:
            return generator(clock.seed, "PreActivationNoise", *where, number)

        return noise_before_activations(self.strength, draws)


def _check_activations(look: Look) -> None:
    """Raise UserError for a network without activations."""
    with noise_before_activations(1.0, lambda number: generator(0, "PreActivationNoise", number)):
        look.network(look.probe.inputs)
