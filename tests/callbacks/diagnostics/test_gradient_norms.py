"""Gradient norms of old and new data."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks.diagnostics.gradient_norms import GradientNorms
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.functional import detached_parameters, mean_loss
from plasticity_lab.measurements.gradient_norms import mean_gradient_norm
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import as_measured, probe
from tests.networks import SmallNet
from tests.runs import fit, logged, tiny

IMAGES = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.arange(20) % 3


def backward(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The norm of what `backward()` leaves."""
    twin = copy.deepcopy(network)
    F.cross_entropy(twin(images), labels).backward()  # type: ignore[no-untyped-call]
    return float(
        torch.cat(
            [
                parameter.grad.flatten()
                for parameter in twin.parameters()
                if parameter.grad is not None
            ]
        ).norm()
    )


def test_it_is_the_mean_of_the_norms_that_backward_leaves() -> None:
    """By trained parameters only, also if one has no part in the loss."""
    network = SmallNet(1, 3, dropout=0).double().eval()
    network.norm.weight.requires_grad_(False)
    network.idle = nn.Linear(2, 2).double()
    batches = [(IMAGES[:8], LABELS[:8]), (IMAGES[8:16], LABELS[8:16])]
    expected = sum(backward(network, *batch) for batch in batches) / 2
    losses = [mean_loss(network, *batch) for batch in batches]
    assert mean_gradient_norm(losses, detached_parameters(network)) == pytest.approx(
        expected, rel=1e-12
    )
    assert expected > 1.01 * backward(network, IMAGES[:16], LABELS[:16]), (
        "which is not the norm of the mean"
    )
    assert all(parameter.grad is None for parameter in network.parameters())


def entry(**arguments: Any) -> dict[str, Any]:
    node = {
        "class_path": "callbacks.diagnostics.gradient_norms.GradientNorms",
        "init_args": {"every": "1ep", **arguments},
    }
    return {"trainer": {"callbacks+": [node]}}


GROWING = {
    "data": {
        "init_args": {
            "growth": {
                "class_path": "datamodules.UniformGrowth",
                "init_args": {"counts": [70, 100], "at": ["2ep"]},
            }
        }
    }
}
PREFIX = "diagnostics/gradient_norm/"


def test_a_run_compares_what_came_last_with_what_was_there() -> None:
    finished = fit(*tiny(entry(batch_size=12), GROWING))
    values = {
        tag.removeprefix(PREFIX): points
        for tag, points in logged(finished.place.directory).items()
        if tag.startswith(PREFIX)
    }
    assert [step for step, _ in values["all"]] == [0, 2, 5, 9]
    assert [step for step, _ in values["old"]] == [9]
    data, module = finished.data, finished.model
    examples, norms = probe(finished, 1000), {}
    assert len(examples.targets) == 100
    old = torch.isin(examples.indices, data.stages.members(0))
    mixed = torch.randperm(100, generator=generator(data.seed, "gradient norms"))
    chosen = {"all": mixed, "old": mixed[old[mixed]], "new": mixed[~old[mixed]]}
    assert [len(part) for part in chosen.values()] == [100, 70, 30]
    with as_measured(finished, 1000):
        for name, part in chosen.items():
            batches = [part[start : start + 12] for start in range(0, len(part) - 11, 12)]
            norms[name] = sum(
                backward(module.network, examples.inputs[batch], examples.targets[batch])
                for batch in batches
            ) / len(batches)
    assert len(chosen["new"]) // 12 == 2
    for name, value in {**norms, "imbalance": norms["new"] / norms["old"]}.items():
        assert values[name][-1][1] == pytest.approx(value, rel=1e-5), name


def test_a_smaller_part_sets_the_size_of_both() -> None:
    """30 new examples are fewer than a batch of 64: old ones go in batches of 30."""
    finished = fit(*tiny(entry(batch_size=64), GROWING))
    values, data, module = logged(finished.place.directory), finished.data, finished.model
    examples, mixed = (
        probe(finished, 1000),
        torch.randperm(100, generator=generator(data.seed, "gradient norms")),
    )
    old = mixed[torch.isin(examples.indices, data.stages.members(0))[mixed]]
    with as_measured(finished, 1000):
        parts = [old[:30], old[30:60]]
        expected = (
            sum(
                backward(module.network, examples.inputs[part], examples.targets[part])
                for part in parts
            )
            / 2
        )
    assert values[f"{PREFIX}old"][-1][1] == pytest.approx(expected, rel=1e-5)


def test_without_growth_there_is_neither_old_nor_new() -> None:
    tags = [tag for tag in logged(fit(*tiny(entry())).place.directory) if tag.startswith(PREFIX)]
    assert tags == [f"{PREFIX}all"]


def test_batches_of_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size: 0: set 1 or more"):
        GradientNorms(Time("1ep"), batch_size=0)
