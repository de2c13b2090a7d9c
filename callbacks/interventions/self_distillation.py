"""A network that learns from what it was a round ago."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.func import functional_call

from callbacks.interventions.base import Draws, OneShot
from callbacks.interventions.network_checks import check_not_compiled
from callbacks.interventions.redraw_checks import check_parameters_kept
from callbacks.network import unwrap
from lightning_modules import LossTerm, Supervised
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer
from plasticity_lab.surgery.construction import tensors_of
from plasticity_lab.timing import Position, Time

TAKES, TEACHES = "takes the network as its teacher", "teaches"


class SelfDistillation(OneShot, LossTerm):
    """Lets the network learn from what it was at the last of some moments.

    Born-again networks (Furlanello et al. 2018, https://arxiv.org/abs/1805.04770) with a reset of
    all layers, and an option of every method that reinitialises in rounds in Zaidi et al. 2022,
    https://proceedings.mlr.press/v187/zaidi23a.html: the loss becomes

    ```text
    L + strength * mean KL(p_teacher || p_network)
    ```

    where the teacher is the network as it is when the moment comes, in evaluation mode. List it
    before what resets the network at the same moment. `train/loss` and metrics stay those of the
    task.

    Changes: the gradient of the parameters. Keeps: parameters, normalisation statistics, optimizer
    state (but for what gradients do to it), the learning-rate clock.

    Args:
        at: moments, of which each one has a new teacher.
        strength: 0 or more; 0 is the identity. The paper's is 1 on CIFAR and 2 on Tiny-ImageNet.
        every: in place of `at`, again and again.

    Raises:
        UserError: below 0, for a module that is no `Supervised`, or a compiled network.

    Example:
        ```yaml
        class_path: callbacks.SelfDistillation
        init_args: {every: 20%}
        ```
    """

    of_outputs = True

    def __init__(
        self, at: list[Time] | None = None, strength: float = 1.0, every: Time | None = None
    ) -> None:
        super().__init__(at, every)
        if not strength >= 0:
            raise UserError("strength", value=strength, fix="set 0 or more")
        self.strength = strength
        self._teacher: dict[str, Tensor] | None = None

    def begin(self) -> None:
        """Forget the teacher."""
        self._teacher = None

    def state_dict(self) -> dict[str, Any]:
        """Return the teacher, once there is one."""
        return {"teacher": self._teacher}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the teacher of a checkpoint."""
        self._teacher = state_dict["teacher"]

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse modules that do not ask for terms of the loss, and compiled networks."""
        check_parameters_kept("SelfDistillation", trainer)
        if not isinstance(module, Supervised):
            raise UserError(
                "SelfDistillation",
                problem=f"{type(module).__name__} asks no callback for terms of its loss",
                fix="use lightning_modules.Supervised",
            )
        check_not_compiled("SelfDistillation", module, "would let the network compile again")

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return whether it takes a teacher, or has one."""
        if super().active(before, now, epochs):
            return TAKES
        taught = any(time.reached(now, epochs) for time in self.times())
        return TEACHES if taught else None

    def act(self, trainer: Trainer, module: LightningModule, answer: Answer) -> None:
        """Take the network as the teacher."""
        if answer == TAKES:
            super().act(trainer, module, answer)

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Copy the network."""
        tensors = tensors_of(unwrap(module))
        teacher = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        # Each rank has batch-norm statistics of its own at the start of a batch.
        self._teacher = trainer.strategy.broadcast(teacher)

    def term(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor | None:
        """Return strength times the mean divergence; None without a teacher."""
        if not self.strength or self._teacher is None:
            return None
        assert isinstance(module, Supervised)
        network, device = module.network, module.device
        self._teacher = {name: value.to(device) for name, value in self._teacher.items()}
        modes = {layer: layer.training for layer in network.modules()}
        network.eval()
        try:
            with torch.no_grad():
                said = functional_call(network, self._teacher, (batch[0],))
        finally:
            for layer, mode in modes.items():
                layer.training = mode
        divergence = module.objective.predictive.divergence(said.float(), outputs.float())
        return self.strength * divergence.mean()
