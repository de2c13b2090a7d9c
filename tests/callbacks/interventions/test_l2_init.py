"""Regenerative regularisation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks import L2Init
from plasticity_lab.errors import UserError
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from plasticity_lab.surgery.l2_init import add_l2_init_gradient
from tests.networks import SmallNet
from tests.runs import fit, tiny

WEIGHTS, INITIAL = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.5, -1.0, 0.5])
PENALTIES: dict[str, Any] = {
    "l2": lambda weight, start: ((weight - start) ** 2).sum() / 2,
    "l1": lambda weight, start: (weight - start).abs().sum(),
    "huber": lambda weight, start: F.huber_loss(weight, start, reduction="sum", delta=1.0),
}
"""By the formulas of the paper's code, at strength 1."""


def slope(weight: Tensor, start: Tensor, strength: float, **options: Any) -> Tensor:
    """Return what is added to a gradient of zero."""
    parameter = nn.Parameter(weight.clone())
    parameter.grad = torch.zeros_like(weight)
    add_l2_init_gradient({"w": parameter}, {"w": start}, strength, **options)
    return parameter.grad


def test_it_is_the_gradient_of_the_paper_penalty() -> None:
    weight, start = nn.Parameter(torch.randn(3, 4)), torch.randn(3, 4)
    loss = (weight**3).sum() + 0.01 / 2 * ((weight - start) ** 2).sum()
    (expected,) = torch.autograd.grad(loss, weight)
    (weight**3).sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        add_l2_init_gradient({"w": weight}, {"w": start}, 0.01)
    assert weight.grad is not None
    assert torch.allclose(weight.grad, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", PENALTIES)
@pytest.mark.parametrize("compare", ["entries", "sorted"])
def test_norms_are_those_of_the_papers(norm: str, compare: str) -> None:
    weight, start = torch.randn(3, 4).mul(2).requires_grad_(), torch.randn(3, 4)
    pair = weight.flatten(), start.flatten()
    if compare == "sorted":
        pair = pair[0].sort().values, pair[1].sort().values
    (expected,) = torch.autograd.grad(0.1 * PENALTIES[norm](*pair), weight)
    assert torch.allclose(slope(weight.detach(), start, 0.1, norm=norm, compare=compare), expected)


def test_values_of_the_authors_penalties() -> None:
    for norm, expected in {"l2": 0.0625, "huber": 0.0625, "l1": 0.15}.items():
        assert 0.1 * PENALTIES[norm](WEIGHTS, INITIAL) == pytest.approx(expected)
    assert slope(WEIGHTS, INITIAL, 0.1).tolist() == pytest.approx([0.05, -0.1, 0.0])
    assert slope(WEIGHTS, INITIAL, 0.1, norm="l1").tolist() == pytest.approx([0.1, -0.1, 0.0])
    # Means of 3.416667 and, sorted, .416667: the squares of these slopes.
    start = torch.tensor([-1.0, 0.5, 0.5])
    for compare, mean in {"entries": 3.416667, "sorted": 0.416667}.items():
        squares = slope(WEIGHTS, start, 1.0, compare=compare).square()
        assert squares.mean() == pytest.approx(mean)


def test_a_fresh_target_is_another_one_at_each_step_and_needs_no_seed_of_the_module() -> None:
    steps = [record(to="fresh"), record(to="initial")]
    fresh, initial = [[step["conv.weight"] for step in several] for several in steps]
    assert all(torch.equal(initial[0], target) for target in initial)
    assert not torch.equal(fresh[0], fresh[1])
    assert torch.equal(record(to="fresh")[1]["conv.weight"], fresh[1]), "keyed by seed and step"


def record(**options: Any) -> list[dict[str, Tensor]]:
    """Return the target of each step of a short run."""
    targets: list[dict[str, Tensor]] = []

    class Recorded(L2Init):
        def _target(self, trainer: Any, module: Any) -> dict[str, Tensor]:
            targets.append(super()._target(trainer, module))
            return targets[-1]

    finished = build(parse(["fit", *tiny({"trainer": {"max_epochs": 1}})]))
    trainer: Any = finished.trainer
    trainer.callbacks.append(Recorded({"0ep": 0.1}, **options))
    finished.fit()
    return targets


def test_a_strong_pull_keeps_weights_near_their_beginning_but_not_norms() -> None:
    strong = {
        "trainer": {
            "callbacks+": [
                {"class_path": "callbacks.L2Init", "init_args": {"levels": {"0ep": 5.0}}}
            ]
        }
    }
    pulled, free, initial = (
        fit(*tiny(strong)).model.network,
        fit(*tiny()).model.network,
        construct(SmallNet, 1, 10),
    )
    init_parameters(initial, 0)
    for name in ("conv.weight", "head.weight"):
        begin = initial.get_parameter(name)
        assert (pulled.get_parameter(name) - begin).norm() < (
            free.get_parameter(name) - begin
        ).norm() / 4
    assert not torch.equal(pulled.norm.weight, torch.ones(4))


def test_a_strength_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match="levels: -1: a strength is 0 or more"):
        L2Init({"0ep": -1})
