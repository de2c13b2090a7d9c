"""Squared gradients under random labels, against every labelling."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks import MemorisationGradients
from callbacks.diagnostics.look import Look
from callbacks.probe import Probe
from lightning_modules import Classification, Regression
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.memorisation_gradients import memorisation_gradients
from plasticity_lab.randomness import derive_seed
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from plasticity_lab.timing import Time
from tests.measurements.toys import mlp

TOY = mlp()
INPUTS = TOY.images[:4]


def square(inputs: Tensor, labels: Tensor, network: nn.Module = TOY.network) -> float:
    """Return the squared norm of a gradient, by `backward()`."""
    network.zero_grad()
    F.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
    slopes = [value.grad for value in network.parameters() if value.grad is not None]
    total = sum(float(slope.pow(2).sum()) for slope in slopes)
    network.zero_grad()
    return total


def test_norms_are_the_expectation_over_all_labellings() -> None:
    every_label = torch.arange(3)
    example = sum(
        square(INPUTS[i : i + 1], every_label[y : y + 1]) for i in range(4) for y in range(3)
    )
    pairs = list(itertools.product(range(3), repeat=2))
    batch = sum(
        square(INPUTS[start : start + 2], torch.tensor(labels))
        for start in (0, 2)
        for labels in pairs
    )
    draws = torch.Generator().manual_seed(0)
    found = memorisation_gradients(TOY.network, INPUTS, draws, batch_size=2, draws=400)
    assert found.example == pytest.approx(example / 12, rel=0.05)
    assert found.batch == pytest.approx(batch / 18, rel=0.05)
    assert all(value.grad is None for value in TOY.network.parameters())


def test_a_draw_is_exact() -> None:
    labels = torch.randint(3, (5,), generator=torch.Generator().manual_seed(7))
    inputs = TOY.images[:5]
    found = memorisation_gradients(
        TOY.network, inputs, torch.Generator().manual_seed(7), batch_size=2, draws=1, chunk=2
    )
    examples = [square(inputs[i : i + 1], labels[i : i + 1]) for i in range(5)]
    batches = [square(inputs[i : i + 2], labels[i : i + 2]) for i in (0, 2)]
    assert found.example == pytest.approx(sum(examples) / 5, rel=1e-12)
    assert found.batch == pytest.approx(sum(batches) / 2, rel=1e-12), "the last is no whole batch"


def test_a_look_has_the_values_of_a_fresh_network_beside_them() -> None:
    network: Any = construct(nn.Sequential, nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    init_parameters(network, 0)
    with torch.no_grad():
        network[0].bias.fill_(-100)
    inputs = TOY.images.float()
    look = Look(network, Probe(inputs, TOY.labels, torch.arange(24)), Classification(), seed=4)
    diagnostic = MemorisationGradients(Time("1ep"), batch_size=6)
    found = diagnostic.look_at(look)
    fresh: Any = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    for name in ("0", "2"):
        torch.manual_seed(derive_seed(4, "MemorisationGradients", name))
        fresh[int(name)].reset_parameters()
    for twin, suffix in ((network, ""), (fresh, "/fresh")):
        draws = look.generator("MemorisationGradients")
        norms = memorisation_gradients(twin, inputs, draws, batch_size=6)
        assert found[f"memorisation/example{suffix}"] == norms.example
        assert found[f"memorisation/batch{suffix}"] == norms.batch
    assert len(found) == 4
    example, of_fresh = (found[f"memorisation/example{part}"] for part in ("", "/fresh"))
    assert isinstance(example, float)
    assert isinstance(of_fresh, float)
    assert example < 0.8 * of_fresh, "all hidden units are dead"


def test_what_has_no_classes_is_refused() -> None:
    network = construct(nn.Linear, 5, 1)
    probe = Probe(TOY.images.float(), TOY.images[:, 0].float(), torch.arange(24))
    with pytest.raises(UserError, match="objective: Regression: is not Classification"):
        MemorisationGradients(Time("1ep")).check(Look(network, probe, Regression()))


def test_arguments_below_one_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size: 0: set 1 or more"):
        MemorisationGradients(Time("1ep"), batch_size=0)
    with pytest.raises(UserError, match="draws: 0: set 1 or more"):
        MemorisationGradients(Time("1ep"), draws=0)
