"""What a diagnostic is given."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.diagnostics.novel_examples import NovelExamples
from callbacks.diagnostics.stage_probes import StageProbes
from callbacks.probe import Probe
from datamodules import ExampleDataset
from lightning_modules.objectives import Classification, Objective
from lightning_modules.training_rules import TrainingRule
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.functional import (
    Loss,
    Parameters,
    detached_parameters,
    mean_loss,
)
from plasticity_lab.randomness import generator
from plasticity_lab.surgery.fresh_copy import fresh_copy


@dataclass(frozen=True)
class Look:
    """A network at one moment of its training, with all that a diagnostic may use.

    A running Trainer builds it (any Trainer, of any LightningModule), `measure.py` builds it from a
    checkpoint, and you may build it by hand.

    Attributes:
        network: in evaluation mode.
        probe: the examples that it is measured on.
        task: what it is trained for; None if that is not known.
        seed: the run's seed.
        epoch: of the batch that was trained last.
        step: optimizer steps taken.
        stage: data stage, from 0.
        stage_members: function from a stage to the indices of its training examples.
        test_probe: function from a number of examples to a probe of the test split.
        stage_probes: examples of the validation split as each data stage has them.
        novel_examples: function from another data set, or names of classes that the run's
            `ClassSubset` leaves out, to their test examples; None if the data are not known.
        optimizers: the run's; none without a run.
        learning_rate: at which the first parameter group is trained; None without a run.
        frozen_norms: names of batch-norm layers that training keeps in evaluation mode.
        rule: how training comes by its gradients; None is backpropagation.
        optimizer_for: function from a copy of the network to the run's optimizer, built anew for
            it with the rates that it was configured with; None if that is not known.
        holder: what holds the network, as `redraw` takes it.
        teacher: the network that gives it targets; None without one.

    Examples:
        >>> probe = Probe(torch.randn(8, 3), torch.randint(2, (8,)), torch.arange(8))
        >>> look = Look(nn.Linear(3, 2), probe, Classification())
        >>> values = FisherInformation(Time("1ep")).look_at(look)
        >>> sorted(values)
        ['fisher/error', 'fisher/share/bias', 'fisher/share/weight', 'fisher/trace', ...]
    """

    network: nn.Module
    probe: Probe
    task: Objective | None = None
    seed: int = 0
    epoch: int = 0
    step: int = 0
    stage: int = 0
    stage_members: Callable[[int], Tensor] | None = None
    test_probe: Callable[[int], Probe] | None = None
    stage_probes: StageProbes | None = None
    novel_examples: Callable[[ExampleDataset | None, list[str]], NovelExamples] | None = None
    optimizers: Sequence[Optimizer] = ()
    learning_rate: float | None = None
    frozen_norms: frozenset[str] = field(default=frozenset())
    rule: TrainingRule | None = None
    optimizer_for: Callable[[nn.Module], Optimizer] | None = None
    holder: nn.Module | None = None
    teacher: nn.Module | None = None

    @property
    def objective(self) -> Objective:
        """What the network is trained for.

        Raises:
            UserError: if that is not known.
        """
        if self.task is None:
            raise UserError(
                "objective",
                problem="the trained module has none, so that its loss is not known",
                fix="set self.objective = Classification() in its constructor, or Regression()",
            )
        return self.task

    def exact(self) -> AbstractContextManager[None]:
        """Return a context in which gradients are true ones, whatever the training rule."""
        return nullcontext() if self.rule is None else self.rule.exact()

    def fresh_copy(self, purpose: str, *counters: int | str) -> nn.Module:
        """Return a copy of the network with fresh weights, keyed as `generator`.

        Raises:
            UserError: by name, for a layer that cannot be drawn again.
        """

        def key(name: str) -> tuple[int | str, ...]:
            return (self.seed, purpose, *counters, name)

        return fresh_copy(self.network, key, self.holder, self.frozen_norms)

    def make_optimizer(self, network: nn.Module) -> Optimizer:
        """Return the run's optimizer, built anew for a copy of its network.

        Raises:
            UserError: if it is not known.
        """
        if self.optimizer_for is None:
            raise UserError("optimizer", problem="is not known", fix="give optimizer_for to Look")
        return self.optimizer_for(network)

    @property
    def parameters(self) -> Parameters:
        """The trained parameters by name, as leaves of their own."""
        return detached_parameters(self.network)

    @property
    def loss(self) -> Loss:
        """The mean loss on the probe as a function of the parameters, without regularisation."""
        return self.loss_on(slice(None))

    def loss_on(self, chosen: Tensor | slice) -> Loss:
        """Return the mean loss on some examples of the probe as a function of the parameters."""
        inputs, targets = self.probe.inputs[chosen], self.probe.targets[chosen]
        return mean_loss(self.network, inputs, targets, self.objective.mean_loss)

    @torch.no_grad()
    def outputs(self) -> Tensor:
        """Return what the network makes of the probe, (examples, outputs)."""
        outputs: Tensor = self.network(self.probe.inputs)
        return outputs

    def generator(self, purpose: str, *counters: int | str) -> torch.Generator:
        """Return a generator on the CPU, keyed by the run's seed, a purpose and counters."""
        return generator(self.seed, purpose, *counters)

    def check_classification(self) -> None:
        """Raise UserError unless the network classifies."""
        if not isinstance(self.objective, Classification):
            name = type(self.objective).__name__
            raise UserError(
                "objective", value=name, problem="is not Classification", fix="remove it"
            )
