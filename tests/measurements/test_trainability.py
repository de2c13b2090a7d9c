"""Training copies, against plain loops by hand."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.trainability import (
    Targets,
    TrainingBudget,
    steps_to_level,
    trainability,
)
from plasticity_lab.randomness import derive_seed, generator
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from tests.networks import SmallNet

IMAGES = torch.randn(30, 1, 8, 8, generator=torch.Generator().manual_seed(1))
BUDGET = TrainingBudget(steps=20, batch_size=12, repeats=2)
VECTORS = torch.randn(60, 8, generator=torch.Generator().manual_seed(2))


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=0.01)


def mlp(seed: int) -> Any:
    """Return a network of one hidden layer, as it was drawn."""
    network: Any = construct(nn.Sequential, nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    init_parameters(network, seed)
    return network.eval()


def small(seed: int, purpose: str = "init", *counters: Any) -> Any:
    """Return a network with batch norm and dropout, drawn layer by layer under a key."""
    network: Any = construct(SmallNet, 1, 5)
    for name, layer in network.named_modules():
        if hasattr(layer, "reset_parameters"):
            torch.manual_seed(derive_seed(seed, purpose, *counters, name))
            layer.reset_parameters()
    return network.eval()


@torch.no_grad()
def evaluated(network: Any) -> Tensor:
    """Return outputs with the batch statistics of all images, and other layers in evaluation."""
    network.eval()
    norm, inputs = network.norm, network.conv(IMAGES)
    norm.running_mean.copy_(inputs.mean((0, 2, 3)))
    norm.running_var.copy_(inputs.var((0, 2, 3)))
    outputs: Tensor = network(IMAGES)
    return outputs


def by_hand(network: Any, targets: Tensor, repeat: int) -> list[float]:
    """Train for 20 steps of 12 images; return losses before the first and after every second."""
    loss_function: Any = F.cross_entropy if targets.dtype == torch.int64 else F.mse_loss
    draws = generator(5, "Trainability", repeat, "batches")
    order = torch.cat([torch.randperm(30, generator=draws) for _ in range(8)])
    optimizer = adam(network)
    torch.manual_seed(derive_seed(5, "Trainability", repeat, "dropout"))
    losses = [float(loss_function(evaluated(network), targets))]
    for step in range(20):
        chosen = order[step * 12 : step * 12 + 12]
        optimizer.zero_grad()
        loss = loss_function(network.train()(IMAGES[chosen]), targets[chosen])
        loss.backward()
        optimizer.step()
        if step % 2:
            losses.append(float(loss_function(evaluated(network), targets)))
    return losses


def aged_and_fresh(network: Any, repeat: int) -> list[Any]:
    return [copy.deepcopy(network), small(5, "Trainability", repeat)]


def test_labels_are_learned_as_in_a_plain_loop() -> None:
    network = small(0)
    before = state_hash(network.state_dict()), state_hash(torch.get_rng_state())
    comparison = trainability(network, IMAGES, adam, "labels", BUDGET, seed=5)
    assert (state_hash(network.state_dict()), state_hash(torch.get_rng_state())) == before
    assert all(parameter.grad is None for parameter in network.parameters())
    assert comparison.points == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    for repeat in range(2):
        draws = generator(5, "Trainability", repeat, "labels")
        labels = torch.randint(5, (30,), generator=draws)
        for start, trained in zip(
            aged_and_fresh(network, repeat), (comparison.aged, comparison.fresh), strict=True
        ):
            losses = by_hand(start, labels, repeat)
            torch.testing.assert_close(
                trained.losses[repeat], torch.tensor(losses).double(), rtol=1e-6, atol=0
            )
            assert trained.accuracies is not None
            right = (evaluated(start).argmax(1) == labels).double().mean()
            assert trained.accuracies[repeat, -1] == right


@pytest.mark.parametrize(("targets", "offset"), [("teacher", 0.0), ("offset", 7.0)])
def test_sines_of_a_teacher_are_learned_as_in_a_plain_loop(targets: Targets, offset: float) -> None:
    network = small(0)
    comparison = trainability(network, IMAGES, adam, targets, BUDGET, offset, seed=5)
    assert comparison.aged.accuracies is None
    for repeat in range(2):
        teacher = small(5, "Trainability", repeat, "teacher")
        sines = (1e5 * evaluated(teacher).double()).sin().float()
        for start, trained in zip(
            aged_and_fresh(network, repeat), (comparison.aged, comparison.fresh), strict=True
        ):
            own = sines + evaluated(start).mean(0) + offset
            losses = by_hand(start, own, repeat)
            assert losses[-1] < losses[0]
            # An argument of 1e5 makes much of the last bits of batch statistics.
            torch.testing.assert_close(
                trained.losses[repeat], torch.tensor(losses).double(), rtol=0.02, atol=0
            )


def plain_loop(network: Any, repeat: int) -> float:
    """Train without batch norm, so that evaluation has no statistics to estimate."""
    labels = torch.randint(4, (60,), generator=generator(3, "Trainability", repeat, "labels"))
    draws = generator(3, "Trainability", repeat, "batches")
    order = torch.cat([torch.randperm(60, generator=draws) for _ in range(4)])
    optimizer = adam(network)
    for step in range(15):
        chosen = order[step * 16 : step * 16 + 16]
        optimizer.zero_grad()
        F.cross_entropy(network(VECTORS[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(F.cross_entropy(network(VECTORS), labels).detach())


def test_it_is_a_plain_loop_to_the_last_bit() -> None:
    network = mlp(0)
    comparison = trainability(network, VECTORS, adam, "labels", TrainingBudget(15, 16, 2), seed=3)
    for repeat in range(2):
        fresh = mlp(0)
        for name in ("0", "2"):
            torch.manual_seed(derive_seed(3, "Trainability", repeat, name))
            fresh[int(name)].reset_parameters()
        assert plain_loop(copy.deepcopy(network), repeat) == comparison.aged.losses[repeat, -1]
        assert plain_loop(fresh, repeat) == comparison.fresh.losses[repeat, -1]


def gaps(dead_units: int, targets: Targets) -> tuple[float, float]:
    """Return the mean gap of twelve networks, each with a seed of its own, and its error."""
    found = []
    for seed in range(12):
        network = mlp(seed)
        with torch.no_grad():
            network[0].bias[:dead_units] = -100
        comparison = trainability(
            network, VECTORS, adam, targets, TrainingBudget(40, 20, 1), 10.0, seed=100 + seed
        )
        found.append(comparison.gaps)
    values = torch.cat(found)
    return float(values.mean()), float(values.std()) / 12**0.5


@pytest.mark.parametrize("targets", ["labels", "teacher", "offset"])
def test_fresh_networks_have_no_gap_and_networks_with_dead_units_have(targets: Targets) -> None:
    gap, error = gaps(0, targets)
    assert abs(gap) < 2 * error
    dead_gap, dead_error = gaps(30, targets)
    assert dead_gap > 5 * dead_error
    assert dead_gap > 5 * abs(gap)


def test_frozen_parameters_and_norms_stay() -> None:
    network = small(0)
    network.conv.weight.requires_grad_(False)
    network.norm.running_mean.fill_(0.5)
    seen = []

    def optimizer(twin: Any) -> torch.optim.Optimizer:
        seen.append(twin)
        return adam(twin)

    trainability(
        network,
        IMAGES,
        optimizer,
        "labels",
        TrainingBudget(3, 12, 1),
        seed=5,
        frozen_norms=["norm"],
    )
    for twin in seen:
        assert torch.equal(twin.conv.weight, network.conv.weight)
        assert torch.equal(twin.norm.running_mean, network.norm.running_mean)
        assert not torch.equal(twin.head.weight, network.head.weight)


def test_an_optimizer_may_compute_the_loss_again() -> None:
    def bfgs(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(network.parameters(), max_iter=5)

    comparison = trainability(mlp(0), VECTORS, bfgs, "labels", TrainingBudget(4, 60, 1))
    assert comparison.aged.losses[0, -1] < comparison.aged.losses[0, 0]


def test_steps_to_a_level_are_counted_to_the_first_point_or_are_all() -> None:
    reached = [[0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]]
    assert steps_to_level([0, 3, 6], torch.tensor(reached).bool()).tolist() == [3, 6, 0, 6]


def test_points_of_small_budgets() -> None:
    assert TrainingBudget(steps=1).points == [0, 1]
    assert TrainingBudget(steps=25).points == [0, 2, 5, 8, 10, 12, 15, 18, 20, 22, 25]


def test_a_network_made_by_hand_is_refused() -> None:
    with pytest.raises(UserError, match="how its values were drawn is not known"):
        trainability(nn.Linear(8, 2), VECTORS, adam)
