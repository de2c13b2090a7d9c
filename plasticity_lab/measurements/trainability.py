"""How well a network can still be trained, beside a fresh one of the same architecture."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from plasticity_lab.measurements.features import CHUNK
from plasticity_lab.randomness import generator, seeded_device_rng
from plasticity_lab.surgery.fresh_copy import copy_network, fresh_copy
from plasticity_lab.surgery.norm_statistics import estimate_norm_statistics

Targets = Literal["labels", "teacher", "offset"]
"""What is learned: random classes, or what a random network answers, shifted or not."""

FREQUENCY = 1e5
"""What a teacher's outputs are multiplied by in the sine (Lyle et al. 2023)."""

PURPOSE = "Trainability"
"""What keys all draws, after the seed."""

_POINTS = 10
_Curves = tuple[list[Tensor], list[Tensor]]
"""Losses and accuracies at the points."""


@dataclass(frozen=True)
class TrainingBudget:
    """For how long copies are trained, and how often.

    Attributes:
        steps: optimizer steps of each copy.
        batch_size: examples in a batch, 2 or more; all, if there are no more.
        repeats: how often it is done, with new targets, fresh weights and batches.

    Examples:
        >>> TrainingBudget(steps=4).points
        [0, 1, 2, 3, 4]
    """

    steps: int = 200
    batch_size: int = 50
    repeats: int = 3

    @property
    def points(self) -> list[int]:
        """After how many steps copies are evaluated: before the first, after each tenth."""
        return sorted({round(part * self.steps / _POINTS) for part in range(_POINTS + 1)})


class TrainingOutcome(NamedTuple):
    """How training went.

    Attributes:
        losses: on all examples, float64 (repeats, points).
        accuracies: likewise; None unless the targets are labels.

    Examples:
        >>> TrainingOutcome(losses=torch.tensor([[2.3, 0.5]]), accuracies=None).losses[:, -1]
        tensor([0.5000])
    """

    losses: Tensor
    accuracies: Tensor | None


class TrainabilityComparison(NamedTuple):
    """A network's training and that of fresh ones, on the same targets and batches.

    Attributes:
        points: after how many steps both were evaluated, the last one after all.
        aged: from the network's present weights.
        fresh: from fresh ones.

    Examples:
        >>> aged, fresh = (
        ...     TrainingOutcome(torch.tensor([[2.5, final]]), None) for final in (1.5, 0.5)
        ... )
        >>> TrainabilityComparison([0, 100], aged, fresh).gaps
        tensor([1.])
    """

    points: list[int]
    aged: TrainingOutcome
    fresh: TrainingOutcome

    @property
    def gaps(self) -> Tensor:
        """Final loss of the aged copy less that of the fresh one, float64 (repeats,)."""
        return self.aged.losses[:, -1] - self.fresh.losses[:, -1]


def trainability(
    network: nn.Module,
    inputs: Tensor,
    make_optimizer: Callable[[nn.Module], Optimizer],
    targets: Targets = "labels",
    budget: TrainingBudget = TrainingBudget(),
    offset: float = 0.0,
    seed: int = 0,
    holder: nn.Module | None = None,
    frozen_norms: Collection[str] = (),
) -> TrainabilityComparison:
    """Train a copy of a network on new targets, and one with fresh weights beside it.

    Lyle et al. 2023, https://arxiv.org/abs/2303.01486 (their budget is 2,000 steps). Both copies
    have the same targets, the same batches (permutations of all examples, one after the other) and
    dropout from the same stream; the network itself is left alone. Frozen parameters are frozen in
    both copies, with their present values.

    Targets are `labels`, classes drawn uniformly, learned by cross-entropy; or `teacher`,
    a + sin(1e5 f(x)), learned by the mean squared error, where f is a network of the same
    architecture with weights drawn anew, and a is the mean output of the copy at its start, one
    number for each output; or `offset`, the same with a number added (large targets, Lyle et al.
    2024, https://arxiv.org/abs/2402.18762).

    Copies are trained in training mode. They are evaluated on all examples in evaluation mode, with
    batch-norm statistics estimated on these. It takes 2 · repeats · steps optimizer steps, 22
    evaluations in each repeat, and the memory of one more network, of an optimizer's state and of
    the activations of a batch.

    Args:
        network: in evaluation mode; as `construct` builds it, so that it can be drawn again.
        inputs: (examples, …), two or more.
        make_optimizer: from a copy to its optimizer.
        targets: what is learned.
        budget: for how long, and how often.
        offset: what is added to targets of that name.
        seed: keys all draws.
        holder: what holds the network, as `redraw` takes it.
        frozen_norms: names of batch-norm layers that training keeps in evaluation mode.

    Raises:
        UserError: by name, for a layer that cannot be drawn again.

    Examples:
        >>> from plasticity_lab.surgery import construct
        >>> network = construct(nn.Linear, 3, 2)
        >>> inputs = torch.randn(20, 3)
        >>> make_optimizer = lambda copy: torch.optim.SGD(copy.parameters(), lr=0.1)
        >>> comparison = trainability(network, inputs, make_optimizer, "labels",
        ...                            TrainingBudget(steps=10, batch_size=5, repeats=2))
        >>> comparison.points[-1], tuple(comparison.gaps.shape)
        (10, (2,))
    """
    drawing = _Drawing(network, seed, holder, frozenset(frozen_norms))
    aged: list[_Curves] = []
    fresh: list[_Curves] = []
    for repeat in range(budget.repeats):
        task = _targets(drawing, inputs, targets, repeat)
        batches = _batches(len(inputs), budget, drawing.generator(repeat, "batches"))
        # One after the other, so that there is only one copy at a time.
        for draw, results in ((drawing.present, aged), (drawing.fresh, fresh)):
            copy = draw(repeat)
            own = task
            if targets != "labels":
                own = own + _mean(copy, inputs, drawing.frozen_norms)
            if targets == "offset":
                own = own + offset
            dropout = seeded_device_rng(inputs.device, seed, PURPOSE, repeat, "dropout")
            with dropout, torch.enable_grad():
                optimizer = make_optimizer(copy)
                results.append(
                    _train(copy, optimizer, inputs, own, batches, budget, drawing.frozen_norms)
                )
    return TrainabilityComparison(budget.points, _stacked(aged), _stacked(fresh))


def steps_to_level(points: list[int], reached: Tensor) -> Tensor:
    """Return after how many steps a level was reached first, int64 (repeats,).

    What was never reached has the last point, the whole budget.

    Args:
        points: after how many steps it was looked at, the last one after all.
        reached: whether it was reached then, bool (repeats, points).

    Examples:
        >>> steps_to_level([0, 5, 10], torch.tensor([[False, True, True], [False, False, False]]))
        tensor([ 5, 10])
    """
    first = torch.where(reached.any(1), reached.int().argmax(1), len(points) - 1)
    return torch.tensor(points, device=reached.device)[first]


@dataclass(frozen=True)
class _Drawing:
    """What copies are drawn from, and keyed by."""

    network: nn.Module
    seed: int
    holder: nn.Module | None
    frozen_norms: frozenset[str]

    def present(self, repeat: int) -> nn.Module:
        """Return a copy with the present weights."""
        return copy_network(self.network)

    def fresh(self, *counters: int | str) -> nn.Module:
        """Return a copy with fresh weights, keyed by counters."""

        def key(name: str) -> tuple[int | str, ...]:
            return (self.seed, PURPOSE, *counters, name)

        return fresh_copy(self.network, key, self.holder, self.frozen_norms)

    def generator(self, *counters: int | str) -> torch.Generator:
        """Return a generator on the CPU, keyed by counters."""
        return generator(self.seed, PURPOSE, *counters)


def _targets(drawing: _Drawing, inputs: Tensor, targets: Targets, repeat: int) -> Tensor:
    """Return random labels, (examples,), or sines of a teacher's outputs, (examples, outputs)."""
    if targets == "labels":
        classes = _outputs(drawing.network, inputs[:2]).shape[1]
        draws = drawing.generator(repeat, "labels")
        return torch.randint(classes, (len(inputs),), generator=draws).to(inputs.device)
    teacher = drawing.fresh(repeat, "teacher")
    estimate_norm_statistics(teacher.eval(), inputs, frozen=drawing.frozen_norms)
    outputs = _outputs(teacher, inputs)
    # In double precision, as the argument of the sine is large.
    return (outputs.double() * FREQUENCY).sin().to(outputs.dtype)


def _mean(copy: nn.Module, inputs: Tensor, frozen_norms: Collection[str]) -> Tensor:
    """Return the mean of each output of a copy, (outputs,)."""
    estimate_norm_statistics(copy.eval(), inputs, frozen=frozen_norms)
    return _outputs(copy, inputs).mean(0)


def _batches(examples: int, budget: TrainingBudget, draws: torch.Generator) -> Tensor:
    """Return the examples of each step, (steps, batch)."""
    size = min(budget.batch_size, examples)
    needed = budget.steps * size
    epochs = [torch.randperm(examples, generator=draws) for _ in range(-(-needed // examples))]
    return torch.cat(epochs)[:needed].view(budget.steps, size)


def _train(
    copy: nn.Module,
    optimizer: Optimizer,
    inputs: Tensor,
    targets: Tensor,
    batches: Tensor,
    budget: TrainingBudget,
    frozen_norms: Collection[str],
) -> _Curves:
    """Train a copy; return its losses, and accuracies of labels, at the points of the budget."""
    loss_function = F.mse_loss if targets.is_floating_point() else F.cross_entropy
    losses, accuracies = [], []
    for step in range(budget.steps + 1):
        if step in budget.points:
            estimate_norm_statistics(copy.eval(), inputs, frozen=frozen_norms)
            outputs = _outputs(copy, inputs)
            losses.append(loss_function(outputs, targets).double())
            if not targets.is_floating_point():
                accuracies.append((outputs.argmax(1) == targets).double().mean())
            _train_mode(copy, frozen_norms)
        if step == budget.steps:
            break
        chosen = batches[step].to(inputs.device)

        def closure(chosen: Tensor = chosen) -> Any:
            # Some optimizers compute the loss again.
            optimizer.zero_grad()
            loss = loss_function(copy(inputs[chosen]), targets[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        optimizer.step(closure)
    return losses, accuracies


def _train_mode(copy: nn.Module, frozen_norms: Collection[str]) -> None:
    copy.train()
    for name in frozen_norms:
        copy.get_submodule(name).eval()


@torch.no_grad()
def _outputs(network: nn.Module, inputs: Tensor) -> Tensor:
    return torch.cat([network(part) for part in torch.split(inputs, CHUNK)])


def _stacked(results: list[_Curves]) -> TrainingOutcome:
    losses = torch.stack([torch.stack(losses) for losses, _ in results])
    accuracies = [torch.stack(accuracies) for _, accuracies in results if accuracies]
    return TrainingOutcome(losses, torch.stack(accuracies) if accuracies else None)
