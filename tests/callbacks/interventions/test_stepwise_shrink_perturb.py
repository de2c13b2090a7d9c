"""Shrink and perturb after each step, which is not shrink and perturb when data arrive."""

from typing import Any

import pytest
import torch
from torch import Tensor

from callbacks import StepwiseShrinkPerturb
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.surgery import construct, init_parameters
from tests.callbacks.interventions.arms import intervention, run
from tests.networks import SmallNet

STILL: dict[str, Any] = {"optimizer": {"init_args": {"lr": 0.0}}, "lr_scheduler": None}
"""Weights that only the intervention moves."""

STEPS = 11
"""Steps that are followed by another batch."""


def weights(finished: Any) -> dict[str, Tensor]:
    network = finished.model.network.cpu()
    return {name: value.detach() for name, value in network.named_parameters()}


def initial() -> dict[str, Tensor]:
    network = construct(SmallNet, 1, 10)
    init_parameters(network, 0)
    return {name: value.detach() for name, value in network.named_parameters()}


def test_gaussian_noise_on_all_parameters_after_each_step() -> None:
    acting = intervention("StepwiseShrinkPerturb", levels={"0ep": 0.01}, shrink=0.9)
    ended = weights(run(acting, model=STILL))
    for name, value in initial().items():
        for number in range(1, STEPS + 1):
            draws = generator(0, "StepwiseShrinkPerturb", number // 4, number, name)
            value = 0.9 * value + 0.01 * torch.randn(value.shape, generator=draws)
        assert torch.allclose(ended[name], value, atol=1e-6), name
    assert not torch.equal(ended["norm.weight"], torch.ones(4)), "batch norm's too"


def test_scale_of_the_noise() -> None:
    acting = intervention("StepwiseShrinkPerturb", levels={"0ep": 0.1})
    ended, began = weights(run(acting, model=STILL)), initial()
    moved = torch.cat([(ended[name] - began[name]).flatten() for name in began])
    assert moved.std() == pytest.approx(0.1 * STEPS**0.5, rel=0.15)


def test_towards_the_initial_values_or_fresh_ones() -> None:
    towards = {
        noise: weights(
            run(
                intervention("StepwiseShrinkPerturb", levels={"0ep": 0.1}, shrink=0.9, noise=noise),
                model=STILL,
            )
        )["conv.weight"]
        for noise in ("initial", "fresh")
    }
    began = initial()["conv.weight"]
    assert torch.allclose(towards["initial"], began, atol=1e-6), "a fixed point"
    assert not torch.allclose(towards["fresh"], began, atol=1e-2)


def test_it_is_not_the_method_of_ash_and_adams() -> None:
    scales: dict[str, Any] = {"shrink": 0.9, "noise": "gaussian"}
    each = weights(run(intervention("StepwiseShrinkPerturb", levels={"0ep": 0.01}, **scales)))
    once = weights(run(intervention("ShrinkPerturb", at=["1st"], perturb=0.01, **scales)))
    sizes = [one["conv.weight"].norm() for one in (each, once)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": {"0ep": -1}}, "levels: -1: a scale of noise is 0 or more"),
        ({"levels": {"0ep": 1}, "shrink": 1.1}, "shrink: 1.1: set a factor"),
    ],
)
def test_values_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StepwiseShrinkPerturb(**arguments)
