"""Optimizers of this project against torch's own and against numbers of the authors' code."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Muon

from lightning_modules import ImageClassifier
from lightning_modules.optimizers import UPGD, MuonAdamW, PerWeightAdam
from plasticity_lab.surgery.optimizer_state import clear_optimizer_state


def network(channels_last: bool = False) -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 3)
    )
    return net.to(memory_format=torch.channels_last) if channels_last else net


def loss(net: nn.Module, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(6, 2, 4, 4, generator=generator)
    return F.cross_entropy(net(images), torch.tensor([0, 1, 2, 0, 1, 2]))


def trained(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss(net, step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize("channels_last", [False, True])
def test_muon_for_matrices_and_adamw_for_the_rest(channels_last: bool) -> None:
    net = network(channels_last)
    reference = copy.deepcopy(net)
    trained(net, MuonAdamW(net.parameters(), lr=0.01, weight_decay=0.1), range(4))

    # Two optimizers of torch, with the kernels as a matrix of its own.
    kernels = reference[0].weight.detach().flatten(1).clone()
    matrices, others = (
        [kernels, reference[3].weight],
        [reference[0].bias, *reference[1].parameters()],
    )
    others += [reference[3].bias, *reference[4].parameters()]
    muon = Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = AdamW(others, lr=0.01, weight_decay=0.1)
    for step in range(4):
        reference.zero_grad()
        loss(reference, step).backward()  # type: ignore[no-untyped-call]
        kernels.grad = reference[0].weight.grad.flatten(1)
        muon.step()  # type: ignore[no-untyped-call]
        adamw.step()
        with torch.no_grad():
            reference[0].weight.copy_(kernels.view_as(reference[0].weight))
    for name, value in net.named_parameters():
        assert torch.equal(value, reference.get_parameter(name)), name


@pytest.mark.parametrize("kind", [MuonAdamW, UPGD])
def test_goes_on_from_its_state(kind: Any) -> None:
    net = network()
    optimizer = kind(net.parameters(), lr=0.01)
    trained(net, optimizer, range(2))
    twin = copy.deepcopy(net)
    other = kind(twin.parameters(), lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    trained(net, optimizer, range(2, 4))
    trained(twin, other, range(2, 4))
    for name, value in net.named_parameters():
        assert torch.equal(value, twin.get_parameter(name)), name


def test_muon_needs_a_matrix_besides_the_head() -> None:
    with pytest.raises(ValueError, match="besides the head's"):
        MuonAdamW(nn.Linear(3, 2).parameters())


def test_muon_checks_its_numbers() -> None:
    with pytest.raises(ValueError, match="beta"):
        MuonAdamW(network().parameters(), betas=(2.0, 0.9))


# Made with mohmdelsayed/upgd @b75e90a: two steps, lr .1, weight decay .01, no noise.
UPGD_NUMBERS: list[tuple[dict[str, Any], list[list[float]]]] = [
    (
        {"beta": 0.0},
        [
            [1.0258942, -2.0114472, 0.4372541, -0.1],
            [1.0111457, -1.9712156, 0.4529533, -0.1404846],
        ],
    ),
    (
        {"beta": 0.9},
        [
            [0.9990045, -1.9980023, 0.4001693, -0.1],
            [0.9979025, -1.9832382, 0.4495021, -0.1319458],
        ],
    ),
    (
        {"beta": 0.0, "protect": False},
        [[1.099, -2.048, 0.3995, -0.2], [1.077901, -2.0059521, 0.4591005, -0.2998]],
    ),
    ({"beta": 0.0, "utility": "local"}, [[1.0329244, -2.0149622, 0.441243, -0.1]]),
    ({"beta": 0.9, "adaptive": True}, [[0.9990091, -1.9980091, 0.3008406, -0.0999995]]),
]


@pytest.mark.parametrize(("settings", "expected"), UPGD_NUMBERS)
def test_upgd_gives_the_numbers_of_the_authors_code(
    settings: dict[str, Any], expected: list[list[float]]
) -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 0.0]))
    optimizer = UPGD([weight], lr=0.1, weight_decay=0.01, sigma=0.0, **settings)
    gradients = torch.tensor([[-1.0, 0.5, 1.0, 2.0], [0.2, -0.4, -0.6, 1.0]])
    for gradient, values in zip(gradients, expected, strict=False):
        weight.grad = gradient.clone()
        optimizer.step()
        torch.testing.assert_close(weight.data, torch.tensor(values), atol=1e-6, rtol=0)


def test_upgd_compares_with_the_most_useful_weight_of_all() -> None:
    first, second = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([10.0]))
    optimizer = UPGD([first, second], lr=1.0, beta=0.0, sigma=0.0)
    first.grad, second.grad = torch.tensor([-1.0]), torch.tensor([-1.0])
    optimizer.step()
    spared = torch.sigmoid(torch.tensor([0.1, 1.0]))
    expected = torch.tensor([1.0, 10.0]) + 1 - spared
    torch.testing.assert_close(torch.cat([first, second]).detach(), expected)


def test_upgd_spares_the_most_harmful_weight_most_where_all_do_harm() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 3.0]))
    optimizer = UPGD([weight], lr=1.0, beta=0.0, sigma=0.0)
    weight.grad = torch.tensor([1.0, 1.0])
    optimizer.step()
    # Utilities are -1 and -3: over a maximum of -1 they become 1 and 3.
    spared = torch.sigmoid(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(weight.data, torch.tensor([1.0, 3.0]) - (1 - spared))


def test_upgd_draws_new_noise_each_step_under_its_seed() -> None:
    def moves(seed: int) -> Tensor:
        weight = nn.Parameter(torch.zeros(1000))
        optimizer = UPGD([weight], lr=1.0, sigma=0.1, seed=seed)
        positions = [weight.detach().clone()]
        for _ in range(2):
            weight.grad = torch.zeros(1000)
            optimizer.step()
            positions.append(weight.detach().clone())
        return torch.stack(positions).diff(dim=0)

    torch.manual_seed(0)
    first = moves(0)
    torch.manual_seed(1)
    assert torch.equal(first, moves(0)), "drew from the global stream"
    assert not torch.equal(first, moves(1))
    assert not torch.equal(first[0], first[1])
    # With no utility at all, each weight is spared by half.
    assert first.std(dim=1).tolist() == pytest.approx([0.05, 0.05], rel=0.1)


def test_upgd_draws_other_noise_after_its_state_was_reset() -> None:
    def moves(weight: nn.Parameter, optimizer: UPGD) -> Tensor:
        before = weight.detach().clone()
        weight.grad = torch.zeros(100)
        optimizer.step()
        return weight.detach() - before

    weight = nn.Parameter(torch.zeros(100))
    optimizer = UPGD([weight], lr=1.0, sigma=0.1)
    first = moves(weight, optimizer)
    optimizer.state.clear()
    saved = optimizer.state_dict()
    second = moves(weight, optimizer)
    assert not torch.equal(first, second)

    # What has been drawn is kept in checkpoints.
    again = nn.Parameter(torch.zeros(100))
    resumed = UPGD([again], lr=1.0, sigma=0.1)
    resumed.load_state_dict(saved)
    torch.testing.assert_close(moves(again, resumed), second)


def test_upgd_refuses_numbers_outside_their_ranges() -> None:
    cases: list[dict[str, Any]] = [{"lr": -1.0}, {"beta": 1.0}, {"sigma": float("nan")}]
    for wrong in cases:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            UPGD([nn.Parameter(torch.zeros(2))], **wrong)


def test_upgd_draws_under_the_seed_of_the_run() -> None:
    module = ImageClassifier(network(), optimizer=UPGD, seed=7)
    assert module.configure_optimizers().seed == 7


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_by_weight_is_adam(weight_decay: float) -> None:
    settings: Any = {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": weight_decay}
    ends = []
    for kind in (PerWeightAdam, torch.optim.Adam):
        weight = nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.double).view(3, 4))
        optimizer = kind([weight], **settings)
        for step in range(20):
            weight.grad = (weight.detach() + step).sin()
            optimizer.step()
        ends.append(weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-12, atol=0)


def test_weights_whose_state_is_cleared_take_the_first_steps_of_adam_again() -> None:
    """Where torch's Adam takes one of 3.2 times the rate."""
    sizes = {}
    for kind in (PerWeightAdam, torch.optim.Adam):
        weight = nn.Parameter(torch.zeros(2))
        optimizer = kind([weight], lr=0.01)
        for _ in range(2000):
            weight.grad = torch.tensor([1.0, 1.0])
            optimizer.step()
        clear_optimizer_state(optimizer, {weight: torch.tensor([True, False])})
        before = weight.detach().clone()
        optimizer.step()
        sizes[kind] = ((before - weight.detach()) / 0.01).tolist()
    assert sizes[PerWeightAdam] == pytest.approx([1, 1], rel=1e-3)
    assert sizes[torch.optim.Adam] == pytest.approx([3.16, 1], rel=0.1)


@pytest.mark.parametrize("settings", [{"lr": -1.0}, {"betas": (1.0, 0.9)}, {"eps": 0.0}])
def test_adam_by_weight_refuses_numbers_outside_their_ranges(settings: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        PerWeightAdam([nn.Parameter(torch.zeros(1))], **settings)


def test_adam_by_weight_counts_in_bfloat16_beyond_256() -> None:
    weight = nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    optimizer = PerWeightAdam([weight])
    weight.grad = torch.ones(2, dtype=torch.bfloat16)
    for _ in range(300):
        optimizer.step()
    resumed = PerWeightAdam([weight])
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.state[weight]["step"].tolist() == [300, 300]
