"""Noise on what enters activations, against forward passes that are written out."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.surgery import noise_before_activations

STD = 0.4


def draws(number: int) -> torch.Generator:
    return generator(3, "test", number)


def noise(number: int, *shape: int) -> Tensor:
    return STD * torch.randn(shape, generator=draws(number))


class Residual(nn.Module):
    """Activations by a module that works in place, a function and a method."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.after, self.hidden, self.head = nn.BatchNorm2d(3), nn.Linear(3, 4), nn.Linear(4, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        x = F.gelu(self.after(x)) + x
        logits: Tensor = self.head(self.hidden(x.mean((2, 3))).tanh())
        return logits


def written_out(network: Residual, x: Tensor) -> Tensor:
    x = (network.norm(network.conv(x)) + noise(0, 1, 1, 5, 6)).clamp(min=0)
    x = F.gelu(network.after(x) + noise(1, 1, 1, 5, 6)) + x
    logits: Tensor = network.head(torch.tanh(network.hidden(x.mean((2, 3))) + noise(2, 1, 1)))
    return logits


def test_outputs_gradients_and_statistics_are_those_of_the_pass_written_out() -> None:
    torch.manual_seed(0)
    network, inputs = Residual(), torch.randn(7, 2, 5, 6)
    twin = copy.deepcopy(network)
    with noise_before_activations(STD, draws):
        outputs = network(inputs)
    expected = written_out(twin, inputs)
    assert torch.equal(outputs, expected)
    assert not torch.allclose(outputs, copy.deepcopy(network)(inputs), atol=1e-2)
    slopes = torch.autograd.grad(outputs.square().sum(), list(network.parameters()))
    by_hand = torch.autograd.grad(expected.square().sum(), list(twin.parameters()))
    assert all(torch.equal(*pair) for pair in zip(slopes, by_hand, strict=True))
    statistics = network.state_dict()["after.running_mean"]
    assert torch.equal(statistics, twin.state_dict()["after.running_mean"])
    assert torch.equal(network(inputs), twin(inputs)), "nothing is left of it afterwards"


def test_at_0_nothing_is_drawn() -> None:
    def never(number: int) -> torch.Generator:
        raise AssertionError

    with noise_before_activations(0.0, never):
        # Not a sign of a zero may change.
        assert str(torch.tanh(torch.tensor(-0.0))) == "tensor(-0.)"


@pytest.mark.parametrize("function", [torch.relu_, torch.tanh_, Tensor.relu_])
def test_what_is_activated_in_place_has_noise_and_activation(function: Any) -> None:
    values = torch.ones(2, 3, 4, 5)
    with noise_before_activations(STD, draws):
        function(values)
    expected = function(torch.ones(2, 3, 4, 5) + noise(0, 1, 1, 4, 5))
    assert torch.equal(values, expected)


SHAPES: dict[str, tuple[nn.Module, tuple[int, ...], tuple[int, ...]]] = {
    "maps": (nn.Conv2d(2, 3, 1), (7, 2, 5, 6), (1, 1, 5, 6)),
    "maps with units last": (nn.Linear(2, 3), (7, 5, 6, 2), (1, 5, 6, 1)),
    "sequences of a convolution": (nn.Conv1d(2, 3, 1), (7, 2, 5), (1, 1, 5)),
    "tokens": (nn.Linear(2, 3), (7, 5, 2), (1, 5, 1)),
    "units": (nn.Linear(2, 3), (7, 2), (1, 1)),
}


@pytest.mark.parametrize("case", SHAPES)
def test_noise_is_one_number_for_each_position(case: str) -> None:
    layer, inputs, shape = SHAPES[case]
    values = torch.ones(inputs)
    with noise_before_activations(STD, draws):
        activated = F.relu(input=layer(values))
    assert torch.equal(activated, (layer(values) + noise(0, *shape)).relu())


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16, torch.float64])
def test_noise_has_the_precision_of_what_it_is_added_to(precision: torch.dtype) -> None:
    values = torch.ones(2, 3, 4, 5, dtype=precision)
    with noise_before_activations(STD, draws):
        activated = values.relu()
    assert activated.dtype == precision
    assert torch.equal(activated, (values + noise(0, 1, 1, 4, 5).to(precision)).relu())


def test_noise_needs_an_activation_and_a_size() -> None:
    problem = "network: calls no activation .* before which noise could be added; remove the noise"
    with pytest.raises(UserError, match=problem), noise_before_activations(STD, draws):
        torch.sigmoid(torch.ones(2, 3))
    with pytest.raises(UserError, match="std: -1: set 0"), noise_before_activations(-1, draws):
        pass
