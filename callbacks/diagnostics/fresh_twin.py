"""A copy of what is trained, from fresh weights, trained on the run's own batches."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.look import Look
from lightning_modules.build_optimizer import twin_module
from lightning_modules.training_rules import Backpropagation
from plasticity_lab.randomness import RandomState, seeded_device_rng
from plasticity_lab.surgery.preserve_buffers import preserve_buffers

PURPOSE = "FreshReference"
"""What keys all draws, after the seed."""


class FreshTwin:
    """A copy of a module with fresh weights and a fresh optimizer; it shares nothing with the run.

    Args:
        look: at the run's network, in training mode.
        module: what is trained.
        begun: optimizer steps taken before, which keys the weights.
    """

    def __init__(self, look: Look, module: LightningModule, begun: int) -> None:
        self.network = look.fresh_copy(PURPOSE, begun)
        self.module = twin_module(module, look.network, self.network)
        self.optimizer = look.make_optimizer(self.network)
        self._objective, self._rule = look.objective, look.rule or Backpropagation()

    def train(self, trainer: Trainer, batch: Any, key: tuple[int, ...]) -> Tensor:
        """Add a batch's gradients; return its outputs in training.

        Args:
            trainer: whose precision and accumulation count.
            batch: (inputs, targets, …).
            key: seed and counters of the draws of dropout.
        """
        device = batch[0].device
        with seeded_device_rng(device, key[0], PURPOSE, *key[1:]), torch.enable_grad():
            state = RandomState(device)
            loss, outputs = self._pass(trainer, batch)

            def loss_again() -> Tensor:
                with state.again():
                    return self._pass(trainer, batch)[0]

            with preserve_buffers(self.network):
                self._rule.backward(self.network, loss, loss_again)
        return outputs.detach()

    def _pass(self, trainer: Trainer, batch: Any) -> tuple[Tensor, Tensor]:
        with trainer.precision_plugin.train_step_context():
            with self._rule.forward_pass(self.network):
                outputs = self.module(batch[0])
            loss = self._objective.loss(outputs, batch[1]) / trainer.accumulate_grad_batches
        return loss, outputs

    def step(self, trainer: Trainer, rates: Sequence[float]) -> None:
        """Let the optimizer step, at the rates of the run's groups, with its clipping."""
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        if trainer.world_size > 1:
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    mean: Any = trainer.strategy.reduce(parameter.grad, reduce_op="mean")
                    parameter.grad = mean
        if trainer.gradient_clip_val:
            clipped = trainer.gradient_clip_algorithm
            arguments = (clipped,) if clipped else ()
            value = trainer.gradient_clip_val
            trainer.precision_plugin.clip_gradients(self.optimizer, value, *arguments)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return weights, buffers and the optimizer's state."""
        network = {name: value.cpu() for name, value in self.network.state_dict().items()}
        return {"network": network, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict()`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
