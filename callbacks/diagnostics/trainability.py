"""How well the network can still be trained."""

import math
from dataclasses import dataclass, field
from typing import get_args

from torch import nn
from torch.optim import Optimizer

from callbacks.diagnostics.base import Measured, NormStatistics, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.trainability import (
    Targets,
    TrainabilityComparison,
    TrainingBudget,
    TrainingOutcome,
    steps_to_level,
    trainability,
)
from plasticity_lab.surgery.fresh_copy import copy_network
from plasticity_lab.surgery.initialisation import check_redraw
from plasticity_lab.surgery.layer_selection import layers_with_state

_LEVELS = {"labels": 0.9, "teacher": 0.25, "offset": 0.25}
_NAMES = ("loss", "accuracy", "steps", "reached")


@dataclass(repr=False, eq=False, kw_only=True)
class Trainability(ProbeDiagnostic):
    """Trains a copy of the network on new targets, and one with fresh weights beside it.

    Lyle et al. 2023, https://arxiv.org/abs/2303.01486, which trains for 2,000 steps on 10 targets.

    The inputs are the probe. `targets` are

    * `labels`: classes drawn uniformly, learned by cross-entropy;
    * `teacher`: a + sin(1e5 f(x)), learned by the mean squared error, where f is a network of the
      same architecture with weights drawn anew, and a the mean output of the copy at its start, one
      number for each output;
    * `offset`: the same plus `offset`, as large targets are hard for aged networks (Lyle et al.
      2024, https://arxiv.org/abs/2402.18762).

    Both copies have the same targets, batches and dropout, and the run's own optimizer, built anew,
    with the rates that it was configured with, before any schedule. Penalties, label smoothing,
    training rules, clipping and interventions of the run are off. Frozen parameters stay frozen.
    Copies are trained in training mode and full precision. They are evaluated on the whole probe,
    before the first step and after each tenth of the steps.

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the papers'
    convention is not known. They are so for each evaluation of a copy.

    Values below `trainability/<targets>/`, means over repeats: `loss/aged` and `loss/fresh` at the
    end, for labels `accuracy/aged` and `accuracy/fresh`; `gap`, the loss of the aged copy less that
    of the fresh one, and with two repeats or more its standard error, `gap/error`, which is that of
    targets, batches and fresh weights (the aged network is one). `steps/aged` and `steps/fresh` are
    steps until `level` was found reached. A repeat that never reaches it counts with all `steps`,
    and `reached/aged` and `reached/fresh` are the shares of repeats that did: below 1, `steps` is a
    lower bound. What is not finite is left out.

    It takes 2 · repeats · steps optimizer steps and 22 evaluations of the probe for each repeat,
    and the memory of one more network, its optimizer's state, and the activations of a batch.

    Args:
        targets: what is learned.
        steps: optimizer steps of each copy.
        batch_size: 2 or more; all of the probe, if there are no more.
        repeats: with new targets, fresh weights and batches each.
        level: accuracy to rise to, for labels; mean squared error to fall to, for others (targets
            vary by 0.5); None is 0.9 and 0.25.
        learning_rate: in place of the configured one, in all parameter groups.
        offset: added to targets of that name.

    Raises:
        UserError: for values out of range, labels where the task is not classification, a module
            without one optimizer, or a network that cannot be drawn again.

    Example:
        ```yaml
        class_path: callbacks.Trainability
        init_args: {every: 10ep, examples: 500, targets: labels, steps: 200}
        ```
    """

    charts = tuple(f"trainability/{targets}/gap" for targets in get_args(Targets))
    tags = tuple(
        f"trainability/{targets}/{name}"
        for targets in get_args(Targets)
        for name in ("gap", "gap/error", *(f"{n}/{w}" for n in _NAMES for w in ("aged", "fresh")))
    )

    norm_statistics: NormStatistics = field(default="estimated", init=False)
    targets: Targets = "labels"
    steps: int = 200
    batch_size: int = 50
    repeats: int = 3
    level: float | None = None
    learning_rate: float | None = None
    offset: float = 100.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        for name, least in (("steps", 1), ("batch_size", 2), ("repeats", 1)):
            if getattr(self, name) < least:
                raise UserError(name, value=getattr(self, name), fix=f"set {least} or more")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UserError("learning_rate", self.learning_rate, fix="set a number above 0")
        if self.targets == "labels" and not 0 < self._level <= 1:
            raise UserError("level", self.level, fix="set an accuracy in (0, 1]")

    @property
    def kind(self) -> tuple[str, ...]:
        """What tells its tags from those of others."""
        return *super().kind, self.targets

    @property
    def _level(self) -> float:
        return _LEVELS[self.targets] if self.level is None else self.level

    def check(self, look: Look) -> None:
        """Refuse what cannot be trained again."""
        if self.targets == "labels":
            try:
                look.check_classification()
            except UserError as error:
                fix = "set targets: teacher"
                raise UserError("targets", "labels", "the task has no classes", fix) from error
        check_redraw(look.network, layers_with_state(look.network), look.holder)
        look.make_optimizer(copy_network(look.network))

    def measure(self, look: Look) -> Measured:
        """Return how both were trained."""

        def make_optimizer(copy: nn.Module) -> Optimizer:
            optimizer = look.make_optimizer(copy)
            if self.learning_rate is not None:
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate
            return optimizer

        comparison = trainability(
            look.network,
            look.probe.inputs,
            make_optimizer,
            self.targets,
            TrainingBudget(self.steps, self.batch_size, self.repeats),
            self.offset,
            look.seed,
            look.holder,
            look.frozen_norms,
        )
        values = {
            f"trainability/{self.targets}/{name}": value
            for name, value in self._values(comparison).items()
        }
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _values(self, comparison: TrainabilityComparison) -> dict[str, float]:
        values = {"gap": float(comparison.gaps.mean())}
        if self.repeats > 1:
            values["gap/error"] = float(comparison.gaps.std() / self.repeats**0.5)
        for which, trained in (("aged", comparison.aged), ("fresh", comparison.fresh)):
            values |= {
                f"{name}/{which}": value
                for name, value in self._of_one(comparison.points, trained).items()
            }
        return values

    def _of_one(self, points: list[int], trained: TrainingOutcome) -> dict[str, float]:
        values = {"loss": float(trained.losses[:, -1].mean())}
        reached = trained.losses <= self._level
        if trained.accuracies is not None:
            values["accuracy"] = float(trained.accuracies[:, -1].mean())
            reached = trained.accuracies >= self._level
        values["steps"] = float(steps_to_level(points, reached).double().mean())
        values["reached"] = float(reached.any(1).double().mean())
        return values
