"""Normalise and project."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from callbacks import NormaliseAndProject
from plasticity_lab.errors import UserError
from plasticity_lab.surgery import construct, init_parameters, project_norms
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.networks import SmallNet
from tests.runs import tiny
from tests.test_bad_input import refused


def test_two_lines_of_the_formula() -> None:
    weights = {"a": torch.randn(3, 4), "b": torch.randn(2, 2, 3, 3)}
    norms = {"a": torch.tensor(2.0), "b": torch.tensor(0.5)}
    expected = {name: norms[name] * weight / weight.norm() for name, weight in weights.items()}
    project_norms(weights, norms)
    assert all(torch.allclose(weights[name], expected[name]) for name in weights)


def test_nothing_becomes_of_0() -> None:
    weights = {"a": torch.zeros(2, 2), "b": torch.ones(2, 2)}
    project_norms(weights, {"a": torch.tensor(1.0), "b": torch.tensor(0.0)})
    assert torch.equal(weights["a"], torch.zeros(2, 2))
    assert torch.equal(weights["b"], torch.ones(2, 2))


def weight(network: Any, name: str) -> Tensor:
    value: Tensor = network.get_parameter(name).detach().cpu()
    return value


def test_weights_keep_the_norms_of_the_beginning_and_nothing_else_does() -> None:
    """The last step, which nothing follows, moves no weight."""
    projected = run(intervention("NormaliseAndProject", levels={"0ep": 1}), FROZEN).model.network
    free, began = run(FROZEN).model.network, construct(SmallNet, 1, 10)
    init_parameters(began, 0)
    for name in ("conv.weight", "head.weight"):
        sizes = [weight(one, name).norm() for one in (projected, free, began)]
        assert torch.allclose(sizes[0], sizes[2], rtol=1e-5)
        assert not torch.allclose(sizes[1], sizes[2], rtol=1e-3)
        assert not torch.allclose(weight(projected, name), weight(began, name), rtol=1e-2)
    for name in ("norm.weight", "conv.bias"):
        assert not torch.allclose(weight(projected, name).norm(), weight(began, name).norm())


def test_what_is_off_no_longer_holds_weights() -> None:
    ended = run(intervention("NormaliseAndProject", levels={"0ep": 1, "1ep": 0})).model.network
    always = run(intervention("NormaliseAndProject", levels={"0ep": 1})).model.network
    assert not torch.allclose(weight(ended, "conv.weight"), weight(always, "conv.weight"))


class Norms(nn.Sequential):
    """A network without weights that are matrices."""

    def __init__(self, num_classes: int) -> None:
        pool = nn.AdaptiveAvgPool2d((1, num_classes))
        super().__init__(pool, nn.Flatten(), nn.LayerNorm(num_classes))


def test_values_are_0_or_1() -> None:
    with pytest.raises(UserError, match=r"levels: 0.5: set 1 \(on\) or 0 \(off\)"):
        NormaliseAndProject({"0ep": 0.5})


def test_a_network_without_weights_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    acting = intervention("NormaliseAndProject", levels={"0ep": 1})
    fragment = {
        "trainer": {"callbacks+": [acting]},
        "model": {"init_args": {"network": {"class_path": f"{__name__}.Norms"}}},
    }
    message = "NormaliseAndProject: Norms: has no linear layer and no convolution"
    refused(["fit", *tiny(fragment)], message, capsys)
