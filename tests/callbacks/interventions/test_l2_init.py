"""Regenerative regularisation."""

import pytest
import torch
from torch import nn

from callbacks import L2Init
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from plasticity_lab.surgery.l2_init import add_l2_init_gradient
from tests.networks import SmallNet
from tests.runs import fit, tiny


def test_it_is_the_gradient_of_the_paper_penalty() -> None:
    weight, start = nn.Parameter(torch.randn(3, 4)), torch.randn(3, 4)
    loss = (weight**3).sum() + 0.01 / 2 * ((weight - start) ** 2).sum()
    (expected,) = torch.autograd.grad(loss, weight)
    (weight**3).sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        add_l2_init_gradient({"w": weight}, {"w": start}, 0.01)
    assert weight.grad is not None
    assert torch.allclose(weight.grad, expected, rtol=1e-5)


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
