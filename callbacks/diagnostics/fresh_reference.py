"""What a network with fresh weights would learn from the run's own batches."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from callbacks.diagnostics.base import Diagnostic, Measured, log_measured
from callbacks.diagnostics.fresh_twin import FreshTwin
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.run_look import run_look
from callbacks.diagnostics.training_outputs import TrainingOutputs
from callbacks.probe import NO_PROBE
from lightning_modules.objectives import Classification
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.fresh_copy import copy_network
from plasticity_lab.surgery.initialisation import check_redraw
from plasticity_lab.surgery.layer_selection import layers_with_state

_KINDS = ("run", "fresh", "difference")


@dataclass(repr=False, eq=False, kw_only=True)
class FreshReference(Diagnostic):
    """Trains a fresh network on the run's own next batches, and compares how fast both learn.

    The control of a loss of plasticity: is what the run learns slowly slow for a fresh network,
    too? A window begins before the first batch, and after every `every`. In it a copy with fresh
    weights (drawn under the run's seed and the step) and a fresh optimizer of the run's own kind is
    trained beside the run, on the very same batches as they are augmented and impaired, for as many
    optimizer steps as the run takes: with the run's precision, accumulation, training rule,
    clipping by the Trainer and label smoothing, and at each step with the rate that the run has at
    that step (so schedules and `LearningRateFactor` count). Other interventions do not act on it.
    Its dropout draws are its own.

    At the window's end these are logged, means over its examples: `fresh_reference/loss/run` and
    `loss/fresh`, the training loss of the run and of the copy; `loss/difference`, the first less
    the second; of classifications `accuracy/run`, `/fresh` and `/difference`. Moments within a
    window begin none. A window that the run does not live to see the end of is not logged.

    A step in a window takes twice the time, and the memory of one more network, of its optimizer's
    state and of the activations of a batch; both are in checkpoints, so that a resume inside a
    window is exact.

    Args:
        updates: optimizer steps in a window, 1 or more.

    Raises:
        UserError: for fewer updates, a module without one optimizer, of manual optimization or
            whose training step does not call it, LBFGS, float16, or a network that cannot be drawn
            again.

    Example:
        ```yaml
        class_path: callbacks.FreshReference
        init_args: {every: 10ep, updates: 200}
        ```
    """

    charts = ("fresh_reference/loss", "fresh_reference/accuracy")
    tags = tuple(f"{name}/{kind}" for name in charts for kind in _KINDS)

    updates: int = 100

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if self.updates < 1:
            raise UserError("updates", value=self.updates, fix="set 1 or more")

    def begin(self) -> None:
        """Follow nothing yet."""
        # Steps taken before the window; None outside of one.
        self._begun: int | None = None
        self._done = 0
        # Examples, and sums over them of both losses and of right answers, of run and copy.
        self._sums = torch.zeros(5, dtype=torch.float64)
        self._twin: FreshTwin | None = None
        self._saved: dict[str, Any] | None = None
        self._outputs = TrainingOutputs()
        self._step_before = 0
        self._rates: Sequence[float] = ()

    def check_every(self, trainer: Trainer) -> None:
        """Raise UserError for moments that it cannot tell, and for float16."""
        super().check_every(trainer)
        if str(trainer.precision).startswith("16"):
            problem = "losses are scaled for float16, and the scale is the run's"
            raise UserError("precision", trainer.precision, problem, "use bf16-mixed")

    def check(self, look: Look) -> None:
        """Refuse what cannot be trained beside the run."""
        if not getattr(look.holder, "automatic_optimization", True):
            problem = "optimizes by hand, so that its steps are not known"
            raise UserError("module", type(look.holder).__name__, problem, "remove it")
        _ = look.objective
        check_redraw(look.network, layers_with_state(look.network), look.holder)
        if isinstance(look.make_optimizer(copy_network(look.network)), LBFGS):
            problem = "passes through a batch several times"
            raise UserError("optimizer", "LBFGS", problem, "use another, or remove it")

    def measure(self, look: Look) -> Measured:
        """Refuse a single moment.

        Raises:
            UserError: always.
        """
        raise UserError(type(self).__name__, problem="watches training")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._step_before = trainer.global_step
        if self._begun is not None:
            self._outputs.watch(pl_module)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self._outputs.stop()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if self._begun is not None:
            # In the midst of the step, so that factors of `LearningRateFactor` are in the groups.
            self._rates = [float(group["lr"]) for group in optimizer.param_groups]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._begun is not None:
            self._follow(trainer, pl_module, batch, batch_idx)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._outputs.stop()

    def _log(self, trainer: Trainer, module: LightningModule, step: int) -> None:
        """Begin a window with the next batch, unless there is one."""
        if self._begun is None:
            self._begun = trainer.global_step

    def _follow(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Train the copy on a batch that the run has been trained on."""
        look = run_look(trainer, module, NO_PROBE)
        answers = self._outputs.take(type(self).__name__, len(batch[1]))
        twin = self._open(look, module)
        key = (look.seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        fresh = twin.train(trainer, batch, key)
        self._sums = self._sums.to(fresh.device) + _sums(look, answers, fresh, batch[1])
        if trainer.global_step == self._step_before:
            return
        twin.step(trainer, self._rates)
        self._done += 1
        if self._done == self.updates:
            self._close(trainer, look)

    def _open(self, look: Look, module: LightningModule) -> FreshTwin:
        """Return the copy: as it is, as a checkpoint has it, or as it is drawn."""
        if self._twin is None:
            assert self._begun is not None
            self._twin = FreshTwin(look, module, self._begun)
            if self._saved is not None:
                self._twin.load_state_dict(self._saved)
                self._saved = None
        return self._twin

    def _close(self, trainer: Trainer, look: Look) -> None:
        """Log what the window comes to, and forget it."""
        total: Any = trainer.strategy.reduce(self._sums, reduce_op="sum")
        examples, *sums = total.tolist()
        means = [value / examples for value in sums]
        pairs = {"loss": means[:2]}
        if isinstance(look.task, Classification):
            pairs["accuracy"] = means[2:]
        values = {
            f"{self.group}/fresh_reference/{name}/{kind}": value
            for name, (run, fresh) in pairs.items()
            for kind, value in zip(_KINDS, (run, fresh, run - fresh), strict=True)
        }
        for logger in trainer.loggers:
            log_measured(logger, values, trainer.global_step - 1)
        self.begin()

    @property
    def needs_history(self) -> bool:
        """Whether one moment is not enough: it follows training."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the window, with weights and optimizer of the copy."""
        if self._begun is None:
            return {}
        twin = self._saved if self._twin is None else self._twin.state_dict()
        return {
            "begun": self._begun,
            "done": self._done,
            "sums": self._sums.cpu(),
            # A copy, as training goes on before it is written.
            "twin": copy.deepcopy(twin),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's window."""
        self.begin()
        if state_dict:
            self._begun, self._done = state_dict["begun"], state_dict["done"]
            self._sums, self._saved = state_dict["sums"], state_dict["twin"]


@torch.no_grad()
def _sums(look: Look, run: Tensor, fresh: Tensor, targets: Tensor) -> Tensor:
    """Return examples, both sums of losses and both numbers of right answers, float64 (5,)."""
    count = len(targets)
    # In full precision, as autocast computes losses.
    losses = [
        look.objective.loss(outputs.float(), targets).double() * count for outputs in (run, fresh)
    ]
    right = [torch.zeros_like(losses[0])] * 2
    if isinstance(look.task, Classification):
        right = [(outputs.argmax(1) == targets).double().sum() for outputs in (run, fresh)]
    return torch.stack([torch.full_like(losses[0], count), *losses, *right])
