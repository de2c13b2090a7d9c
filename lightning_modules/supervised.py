"""Supervised learning of any task; knows nothing of interventions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lightning_modules.epoch_metrics import EpochMetrics
from lightning_modules.initial_weights import InitialWeights
from lightning_modules.loss_terms import Losses, loss_terms, losses_with_terms
from lightning_modules.objectives import Objective
from lightning_modules.optimizers import UPGD
from lightning_modules.pass_contexts import pass_contexts
from lightning_modules.training_rules import Backpropagation, TrainingRule
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import RandomState
from plasticity_lab.surgery.filter_pruning import FilterScore
from plasticity_lab.surgery.initialisation import detach_computed, init_parameters
from plasticity_lab.surgery.preserve_buffers import preserve_buffers
from plasticity_lab.surgery.schemes import Scheme


class Supervised(LightningModule):
    """A network trained for an objective, whose loss and metrics are logged once an epoch.

    Values reach the loggers when they are computed, so that a checkpoint written afterwards can
    count on them.

    Args:
        network: any module from inputs (batch, …) to outputs (batch, outputs). Training starts from
            what its constructor sets, drawn under the run's seed (see `init_parameters`).
        optimizer: any torch optimizer.
        objective: what it is trained for.
        lr_scheduler: any torch scheduler, stepped once an epoch (`ReduceLROnPlateau` on
            `train/loss`); None keeps the rate.
        rule: how gradients come about; None is backpropagation.
        channels_last: store images and kernels channels last, 1.2 to 1.3 times faster on a CPU and
            more on a GPU.
        compile: compile the network by `torch.compile`; parameters keep their names.
        initialisation: `own` is the network's, which is torch's default for its layers;
            `kaiming_fan_out` is that of the ReScience reproduction of Ash & Adams and of DASH,
            `kaiming_uniform_norm` that of open_lth (see `schemes.apply`). Resets draw by it too.
        initial_weights: file of weights that training begins from, a checkpoint or a `state_dict`,
            with a new optimizer and a new clock; None begins from the network's own initial values.
            They are part of what the run is, by their content.
        initial_weights_except: layers that begin from their own initial values nevertheless, such
            as `[head]` for other classes.
        initial_weights_filters: take the weights from a wider network of the same architecture: of
            each layer that has fewer filters here those with the largest `l1` norm (Li et al. 2017)
            or the largest gain in batch norm (`norm_gain`, network slimming); see
            `surgery.narrow_weights`. None takes weights of the same network alone.
        seed: the run's seed (`seed_everything`), set by train.py.

    Example:
        ```yaml
        model:
          class_path: lightning_modules.Supervised
          init_args:
            objective: {class_path: lightning_modules.Regression}
            network: {class_path: lightning_modules.networks.MLP, init_args: {widths: [64]}}
            optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}
        ```
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable,
        objective: Objective,
        lr_scheduler: LRSchedulerCallable | None = None,
        rule: TrainingRule | None = None,
        channels_last: bool = True,
        compile: bool = False,
        initialisation: Scheme = "own",
        initial_weights: str | None = None,
        initial_weights_except: list[str] | None = None,
        initial_weights_filters: FilterScore | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.optimizer, self.lr_scheduler = network, optimizer, lr_scheduler
        self.objective, self.rule = objective, rule or Backpropagation()
        self._loss_again: Callable[[], Tensor] | None = None
        self.initial_weights = InitialWeights(
            initial_weights, initial_weights_except, initial_weights_filters
        )
        self.seed = self.rule.seed = seed
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        init_parameters(network, seed, initialisation)
        detach_computed(network)
        network.to(memory_format=self.memory_format)
        if compile:
            network.compile()
        self.train_metrics = EpochMetrics(objective.metrics())
        self.evaluation_metrics = EpochMetrics(objective.metrics())
        self.deficit_metrics = EpochMetrics(objective.metrics())
        # torch checks rates and the like only here, and the user should hear of it now.
        self.configure_optimizers()

    def on_fit_start(self) -> None:
        """Begin from the weights of a file, unless training resumes or has begun."""
        data = getattr(self.trainer, "datamodule", None)
        if not self.initial_weights.begin(self.network, data):
            return
        # It has copied the network when it was set up.
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]  # set by a helper of Trainer
            average = getattr(callback, "_average_model", None)
            if isinstance(callback, WeightAveraging) and average is not None:
                average.module.load_state_dict(self.state_dict())

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (batch, …) to outputs (batch, outputs)."""
        # Only images have channels to be last.
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=self.memory_format)
        outputs: Tensor = self.network(inputs)
        return outputs

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch (inputs, targets, …), with the terms that callbacks add."""
        if self.rule.passes_again:
            self._loss_again = partial(self._second_pass, batch, RandomState(self.device))
        losses = self._losses(batch)
        self.train_metrics.update(losses.task, losses.outputs, batch[1])
        return losses.minimised

    def _losses(self, batch: Any) -> Losses:
        """Return outputs of a batch, the loss of the task, and what is minimised."""
        terms, contexts = loss_terms(self._trainer), pass_contexts(self._trainer, self)
        contexts.append(self.rule.forward_pass(self.network))
        return losses_with_terms(self, batch, self.objective.loss, terms, contexts)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Let the rule add a batch's gradients."""
        loss_again, self._loss_again = self._loss_again, None
        if loss_again is None:
            self.rule.backward(self.network, loss, _no_second_pass)
            return
        with preserve_buffers(self.network):
            self.rule.backward(self.network, loss, loss_again)

    def _second_pass(self, batch: Any, random_state: RandomState) -> Tensor:
        """Return the loss of a batch anew, as Lightning would make it for backpropagation."""
        with random_state.again(), self.trainer.precision_plugin.train_step_context():
            loss = self._losses(batch).minimised
        return loss / self.trainer.accumulate_grad_batches

    def on_train_epoch_end(self) -> None:
        """Log the epoch's online loss and metrics."""
        self._report("train", self.train_metrics)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch; a second loader holds the split as deficits impair it."""
        outputs, targets = self(batch[0]), batch[1]
        metrics = self.deficit_metrics if dataloader_idx else self.evaluation_metrics
        metrics.update(self.objective.mean_loss(outputs, targets), outputs, targets)

    def on_validation_epoch_end(self) -> None:
        """Log loss and metrics."""
        self._report("val", self.evaluation_metrics)
        if self.deficit_metrics.updated:
            self._report("val_deficit", self.deficit_metrics)

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Log loss and metrics."""
        self._report("test", self.evaluation_metrics)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return predictions (batch, outputs): of classes their probabilities."""
        return self.objective.predictions(self(batch[0]))

    def _report(self, split: str, metrics: EpochMetrics) -> None:
        values = {f"{split}/{name}": value for name, value in metrics.compute().items()}
        metrics.reset()
        self.log_dict(values, prog_bar=True, logger=False)
        if self.trainer.sanity_checking:
            return
        for logger in self.loggers:
            logger.log_metrics(
                {name: float(value) for name, value in values.items()}, max(0, self.global_step - 1)
            )

    def configure_optimizers(self) -> Any:
        """Build optimizer and schedule."""
        try:
            optimizer = self.optimizer(self.parameters())
            scheduler = self.lr_scheduler(optimizer) if self.lr_scheduler else None
        except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise UserError("optimizer, lr_scheduler", problem=error) from error
        if isinstance(optimizer, UPGD):
            optimizer.seed = self.seed
        if scheduler is None:
            return optimizer
        monitor = getattr(scheduler, "monitor", "train/loss")
        if monitor != "train/loss":
            raise UserError(
                "lr_scheduler: monitor",
                value=monitor,
                problem="the schedule steps when only train/loss is known",
                fix="set that",
            )
        # Lightning would step a plateau scheduler after the epoch's checkpoint is written, and
        # never on resuming from it.
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "reduce_on_plateau": False},
        }

    def lr_scheduler_step(self, scheduler: LRScheduler | ReduceLROnPlateau, metric: Any) -> None:
        """Step the schedule after an epoch's last batch."""
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.train_metrics.compute()["loss"])
        else:
            scheduler.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add each rank's sums, so that a run resumed inside an epoch logs the whole epoch.

        And what weights training began from, if it began from a file.
        """
        self.initial_weights.save(checkpoint)
        states: Any = self.train_metrics.state()
        if self.trainer.world_size > 1:
            states = self.all_gather(states)
        else:
            states = apply_to_collection(states, Tensor, lambda state: state[None])
        # Each is (ranks, …); a copy, as training goes on before it is written.
        checkpoint["train_metrics"] = apply_to_collection(
            states, Tensor, lambda state: state.cpu().clone()
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore this rank's sums, which only a run that resumes inside an epoch needs.

        With another number of ranks an epoch's end is the only place to resume from.

        Raises:
            UserError: inside an epoch that was measured by other metrics.
        """
        self.initial_weights.restore(checkpoint)
        if self._trainer is None or self.trainer.state.fn != "fit":
            return
        states = checkpoint.get("train_metrics", {})
        if _names(states) != _names(self.train_metrics.state()):
            epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
            if epochs["processed"] < epochs["started"]:
                raise UserError(
                    "ckpt_path",
                    problem="written inside an epoch that was measured by other metrics",
                    fix="resume with its objective, or from a checkpoint of an epoch's end",
                )
        elif len(states["loss"]["count"]) == self.trainer.world_size:
            rank = self.global_rank
            self.train_metrics.restore(
                apply_to_collection(states, Tensor, lambda state: state[rank])
            )


def _names(states: dict[str, Any]) -> dict[str, set[str]]:
    return {metric: {*state} for metric, state in states.items()}


def _no_second_pass() -> Tensor:
    raise TypeError("a rule that calls loss_again must say so by passes_again = True")
