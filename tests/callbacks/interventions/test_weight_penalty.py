"""Penalties on weights: once a step, unscaled, before clipping."""

from typing import Any

import pytest
import torch
from torch import Tensor

from callbacks.interventions.weight_penalty import WeightPenalty
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.surgery import add_penalty_gradient
from tests.runs import tiny


class Squares(WeightPenalty):
    """Weight decay as a penalty; notes what it adds."""

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__(levels)
        self.added: list[Tensor] = []
        self.weights: list[Tensor] = []

    def add_gradient(self, trainer: Any, module: Any, strength: float) -> None:
        weight = module.network.head.weight
        before, other = weight.grad.clone(), module.network.conv.weight.grad.clone()
        add_penalty_gradient(
            lambda: weight.square().sum() / 2, module.network.parameters(), strength
        )
        self.added.append(weight.grad - before)
        self.weights.append(weight.detach().clone())
        assert torch.equal(module.network.conv.weight.grad, other)


@pytest.mark.parametrize("batches", [1, 3])
def test_its_gradient_is_added_once_a_step_from_its_moment_on(batches: int) -> None:
    trainer: dict[str, Any] = {"accumulate_grad_batches": batches, "gradient_clip_val": 0.01}
    run = build(parse(["fit", *tiny({"trainer": trainer})]))
    penalty = Squares({"1ep": 0.5})
    run.trainer.callbacks.append(penalty)  # type: ignore[attr-defined]  # set by a helper of Trainer
    run.fit()
    assert len(penalty.added) == run.trainer.global_step * 2 // 3
    for added, weight in zip(penalty.added, penalty.weights, strict=True):
        assert torch.allclose(added, 0.5 * weight, rtol=1e-4, atol=1e-7)


def test_a_strength_is_a_number_from_0() -> None:
    with pytest.raises(UserError, match="levels: nan: a strength is 0 or more"):
        Squares({"0ep": float("nan")})
