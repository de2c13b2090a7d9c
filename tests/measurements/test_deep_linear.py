"""The equations of deep linear networks against gradient descent on their matrices."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from plasticity_lab.errors import UserError
from plasticity_lab.measurements import path_modes, two_layer_mode

TASK = torch.stack(
    [
        *torch.ones(1, 8),
        *torch.kron(torch.eye(2), torch.ones(1, 4)),
        *torch.kron(torch.eye(4), torch.ones(1, 2)),
        *torch.eye(8),
    ]
).double()
"""The hierarchical task of Kleinman et al. 2024: 15 outputs for 8 inputs."""


def pathway(task: Tensor, depth: int, starts: Tensor) -> list[Tensor]:
    """Return balanced layers aligned with the task, the first one first."""
    left, _, right = torch.linalg.svd(task, full_matrices=False)
    middle = torch.diag(starts)
    layers = [middle @ right, *[middle] * (depth - 2), left @ middle]
    return [layer.clone().requires_grad_() for layer in layers]


def product(layers: Sequence[Tensor]) -> Tensor:
    result = layers[0]
    for layer in layers[1:]:
        result = layer @ result
    return result


def descend(
    paths: list[list[Tensor]], rate: float, steps: int, frozen: range = range(0)
) -> list[Tensor]:
    """Return the modes of each pathway after steps of gradient descent on 1/2 |S - sum|^2.

    The last pathway is frozen for some of them, and still adds to the output.
    """
    for step in range(steps):
        outputs = [product(layers) for layers in paths]
        if step in frozen:
            outputs[-1] = outputs[-1].detach()
        loss = 0.5 * (TASK - torch.stack(outputs).sum(0)).square().sum()
        trained = [layer for layers in paths[: len(paths) - (step in frozen)] for layer in layers]
        gradients = torch.autograd.grad(loss, trained)
        with torch.no_grad():
            for layer, gradient in zip(trained, gradients, strict=True):
                layer -= rate * gradient
    left, _, right = torch.linalg.svd(TASK, full_matrices=False)
    return [(left.T @ product(layers).detach() @ right.T).diagonal() for layers in paths]


def test_the_task_has_the_singular_values_of_its_hierarchy() -> None:
    """A branch of m inputs adds m to the Gram matrix: 8 + 4 + 2 + 1, then 4 + 2 + 1, and so on."""
    values = torch.linalg.svdvals(TASK).square()
    expected = torch.tensor([15.0, 7, 3, 3, 1, 1, 1, 1]).double()
    assert torch.allclose(values, expected)


def test_descent_on_two_layers_is_saxes_sigmoid_up_to_the_rate() -> None:
    strengths = torch.linalg.svdvals(TASK)
    errors = []
    for rate in (0.01, 0.005):
        starts = torch.full((8,), 0.1).double()
        found = descend([pathway(TASK, 2, starts)], rate, round(1 / rate))[0]
        expected = torch.stack(
            [two_layer_mode(float(s), 0.01, torch.tensor(1.0).double()) for s in strengths]
        )
        errors.append(float((found - expected).abs().max()))
    assert errors[0] < 0.06
    assert 1.8 < errors[0] / errors[1] < 2.2, "first order in the rate"


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_descent_on_two_pathways_follows_their_equation_up_to_the_rate(depth: int) -> None:
    starts, errors, time = (0.3, 0.25), [], 1.0
    strengths = torch.linalg.svdvals(TASK)
    expected = torch.stack(
        [path_modes(float(s), starts, depth, time, 0.05)[-1].pow(depth) for s in strengths], 1
    )
    for rate in (0.004, 0.002):
        paths = [pathway(TASK, depth, torch.full((8,), start).double()) for start in starts]
        found = torch.stack(descend(paths, rate, round(time / rate)))
        errors.append(float((found - expected).abs().max()))
    assert errors[0] < 0.06
    assert 1.8 < errors[0] / errors[1] < 2.2, "first order in the rate"


def test_a_frozen_pathway_is_that_of_the_equation() -> None:
    def gates(time: float) -> list[float]:
        return [1.0, 0.0 if time < 0.5 else 1.0]

    expected = torch.stack(
        [
            path_modes(float(s), [0.3, 0.3], 3, 1.0, 0.05, gates)[-1].pow(3)
            for s in torch.linalg.svdvals(TASK)
        ],
        1,
    )
    paths = [pathway(TASK, 3, torch.full((8,), 0.3).double()) for _ in range(2)]
    found = torch.stack(descend(paths, 0.002, 500, range(250)))
    assert torch.allclose(found, expected, atol=0.03)
    assert not torch.allclose(found[0], found[1], atol=0.1)


def test_two_layers_of_one_pathway_have_the_closed_form() -> None:
    path = path_modes(3.0, [0.1], 2, 4.0, 0.01)[:, 0].square()
    times = torch.arange(401).double() / 100
    assert torch.allclose(path, two_layer_mode(3.0, 0.01, times), rtol=0, atol=1e-7)


def test_one_layer_closes_its_gap_exponentially() -> None:
    path = path_modes(3.0, [0.5], 1, 2.0, 0.01)[:, 0]
    expected = 3 - 2.5 * torch.exp(-torch.arange(201).double() / 100)
    assert torch.allclose(path, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("depth", [3, 4])
def test_what_pathways_have_in_common_is_conserved(depth: int) -> None:
    path = path_modes(2.0, [0.3, 0.2], depth, 5.0, 0.02).pow(2 - depth)
    difference = path[:, 0] - path[:, 1]
    assert torch.allclose(difference, difference[:1].expand_as(difference), rtol=1e-6)


def share_lost(depth: int, start: float, stop: float) -> float:
    """Return the share of a mode that is left to a pathway frozen for a while."""

    def gates(time: float) -> list[float]:
        return [1.0, 0.0 if start <= time < stop else 1.0]

    modes = path_modes(10**0.5, [0.3, 0.3], depth, 10.0, 0.05, gates)[-1].pow(depth)
    assert torch.allclose(modes.sum(), torch.tensor(10**0.5).double(), atol=1e-6)
    return float(modes[1] / modes.sum())


def test_early_freezing_loses_the_mode_the_more_the_deeper_and_late_freezing_nothing() -> None:
    early = [share_lost(depth, 0.0, 0.5) for depth in (2, 3, 4)]
    assert early[0] > early[1] > early[2]
    assert early[0] < 0.2
    for depth in (2, 3, 4):
        assert share_lost(depth, 8.0, 8.5) == pytest.approx(0.5, abs=1e-6)


def test_what_is_no_depth_is_refused() -> None:
    with pytest.raises(UserError, match="depth: 0: set 1 or more layers"):
        path_modes(1.0, [0.1], 0, 1.0, 0.1)
    with pytest.raises(UserError, match="step: 0: set a number above 0"):
        path_modes(1.0, [0.1], 2, 1.0, 0)
