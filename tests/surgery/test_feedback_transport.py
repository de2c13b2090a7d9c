"""Feedback alignment against backpropagation through a network with other weights."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.surgery import carriers, feedback_transport

IMAGES = torch.randn(4, 2, 7, 7, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.tensor([0, 2, 1, 0])


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(96, 5),
        nn.Tanh(),
        nn.Linear(5, 3),
    ).double()


def passed_back(trained: nn.Sequential, feedback: Any) -> dict[str, Tensor]:
    twin = copy.deepcopy(trained)
    with feedback_transport(carriers(twin), feedback):
        outputs = twin(IMAGES)
    assert outputs.equal(trained(IMAGES)), "the forward pass keeps its bits"
    F.cross_entropy(outputs, LABELS).backward()  # type: ignore[no-untyped-call]
    return {name: value.grad for name, value in twin.named_parameters() if value.grad is not None}


def by_hand(trained: nn.Sequential, matrices: dict[str, Tensor]) -> dict[str, Tensor]:
    """Go down layer by layer, with a vector-Jacobian product of the layer with weights B."""
    inputs = [IMAGES]
    for step in trained:
        inputs.append(step(inputs[-1]).detach())
    outputs = inputs[-1].requires_grad_()
    (signal,) = torch.autograd.grad(F.cross_entropy(outputs, LABELS), outputs)
    gradients = {}
    for number in reversed(range(len(trained))):
        layer: Any = copy.deepcopy(trained[number])
        below = inputs[number].detach().requires_grad_()
        for part, _ in layer.named_parameters():
            (gradients[f"{number}.{part}"],) = torch.autograd.grad(
                layer(below), layer.get_parameter(part), signal
            )
        if str(number) in matrices:
            with torch.no_grad():
                layer.weight.copy_(matrices[str(number)])
        (signal,) = torch.autograd.grad(layer(below), below, signal)
    return gradients


def test_signals_go_down_by_the_other_weights() -> None:
    trained = network()
    matrices = {name: torch.randn_like(layer.weight) for name, layer in carriers(trained).items()}
    found = passed_back(trained, lambda name, weight: matrices[name])
    expected, true = by_hand(trained, matrices), by_hand(trained, {})
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-12, atol=1e-14), name
    assert not torch.allclose(found["0.weight"], true["0.weight"])


def test_a_layer_own_weights_are_backpropagation() -> None:
    trained = network()
    found = passed_back(trained, lambda name, weight: weight.detach())
    for name, gradient in by_hand(trained, {}).items():
        assert torch.allclose(found[name], gradient, rtol=1e-12, atol=1e-14), name


def test_nothing_is_left_on_the_network() -> None:
    trained = network()
    with feedback_transport(carriers(trained), lambda name, weight: weight.detach()):
        trained(IMAGES)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in trained.modules())


def test_what_it_cannot_do_is_refused() -> None:
    reflecting = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    with (
        pytest.raises(UserError, match=r"layers: 0: pads by \(1, 1\) with reflect"),
        feedback_transport(carriers(reflecting), lambda name, weight: weight),
    ):
        pass
    attention = nn.MultiheadAttention(4, 2)
    with (
        pytest.raises(UserError, match="layers: out_proj: the network does not call this layer"),
        feedback_transport(carriers(attention), lambda name, weight: weight.detach()),
    ):
        attention(*(torch.ones(3, 1, 4),) * 3)


class ByKeyword(nn.Module):
    """Calls its layers by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.above(input=self.below(input=inputs).relu())
        return outputs


def test_layers_may_be_called_by_keyword() -> None:
    inputs, twin = torch.ones(2, 3), ByKeyword()
    plain = torch.autograd.grad(twin(inputs).sum(), twin.below.weight)[0]
    with feedback_transport(carriers(twin), lambda name, weight: 2 * weight):
        twin(inputs).sum().backward()
    passed = twin.below.weight.grad
    assert passed is not None
    assert torch.allclose(passed, 2 * plain)
