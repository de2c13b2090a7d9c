"""Changes of outputs on other examples kept small."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from callbacks.interventions.loss_penalty import LossPenalty
from callbacks.interventions.network_checks import check_not_compiled
from callbacks.interventions.training_activity import unwatched
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.churn import churn_penalty


class ChurnPenalty(LossPenalty):
    """Holds back how far a step changes outputs on other examples (C-CHAIN, Tang et al. 2025).

    https://arxiv.org/abs/2506.00592: strength times the mean squared difference between outputs of
    the network and of the network one step before, on a reference batch that is drawn from the
    training data of the stage, independently of the batch, as in the authors' code. The authors
    adapt the strength to a fixed ratio between the losses; here it is what `levels` says.

    Both are in training mode, with the same dropout and the statistics of the reference batch. What
    other interventions do to weights between two steps counts as a change. The first step has none.

    The penalty is in the loss that is minimised and in none that is logged. Changes: the gradient
    of the parameters. Keeps: normalisation statistics, the learning-rate clock, optimizer state
    (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity.
        examples: of the reference batch on each rank, 1 or more.

    Raises:
        UserError: for values out of range, a module that is no `Supervised`, data that are no
            `ImageDataModule`, or a compiled network.

    Example:
        ```yaml
        class_path: callbacks.ChurnPenalty
        init_args: {levels: {0ep: 10.0}}
        ```
    """

    def __init__(self, levels: dict[str, float], examples: int = 128) -> None:
        super().__init__(levels)
        if examples < 1:
            raise UserError("examples", value=examples, fix="set 1 or more")
        self.examples = examples
        self._previous: dict[str, Tensor] = {}
        self._batch_idx = 0

    def begin(self) -> None:
        """Forget the weights before the last step."""
        self._previous = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the weights before the last step."""
        return {"previous": self._previous}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the weights before the last step."""
        self._previous = dict(state_dict["previous"])

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse other data, and compiled networks."""
        super().check(trainer, module)
        if not isinstance(getattr(trainer, "datamodule", None), ImageDataModule):
            raise UserError("ChurnPenalty", problem="needs datamodules.ImageDataModule")
        check_not_compiled(
            "ChurnPenalty", module, "a compiled network cannot be called with earlier weights"
        )

    def set(self, trainer: Trainer, module: LightningModule, value: float) -> None:
        """Let the strength hold from now on."""
        super().set(trainer, module, value)
        if not value:
            # They would be of another step when it acts again.
            self._previous = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._batch_idx = batch_idx

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if self.strength:
            self._previous = {
                name: value.detach().clone() for name, value in pl_module.named_parameters()
            }

    def term(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor | None:
        """Return strength times penalty, None without a strength and before the first step."""
        return super().term(module, batch, outputs) if self._previous else None

    def penalty(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor:
        """Return the mean squared difference of outputs on the reference batch."""
        data: Any = module.trainer.datamodule  # type: ignore[attr-defined]  # set by Lightning
        where = data.now.epoch, self._batch_idx, module.global_rank
        inputs = data.drawn_batch(self.examples, "ChurnPenalty", *where).inputs

        with unwatched():
            return churn_penalty(module, inputs, self._previous)
