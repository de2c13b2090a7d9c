"""Direct feedback alignment against numbers of BioTorch, closed forms and backpropagation."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.measurements import alignment_angles
from plasticity_lab.surgery.direct_feedback import direct_feedback, feedback_matrix

INPUTS = torch.tensor([[1, -0.5, 2], [0.3, 0.8, -1], [-1, 0.4, 0.6]]).double()
LABELS = torch.tensor([0, 2, 1])
WEIGHTS = [
    [[0.2, -0.5, 0.1], [0.4, 0.3, -0.2], [-0.3, 0.1, 0.6], [0.5, -0.1, 0.2]],
    [[0.3, -0.2, 0.1, 0.4], [-0.5, 0.2, 0.3, -0.1], [0.1, 0.4, -0.3, 0.2], [0.2, 0.1, -0.4, 0.3]],
    [[0.1, 0.2, -0.3, 0.4], [-0.2, 0.5, 0.1, -0.1], [0.3, -0.4, 0.2, 0.1]],
]
BIASES = [[0.1, -0.1, 0, 0.05], [0, 0.1, -0.1, 0.2], [0, 0, 0]]
FEEDBACK = {
    "1": [[0.5, -0.4, 0.3, 0.2], [-0.1, 0.6, -0.2, 0.4], [0.2, 0.1, 0.5, -0.3]],
    "3": [[-0.3, 0.2, 0.4, 0.1], [0.5, -0.1, 0.2, -0.4], [0.1, 0.3, -0.6, 0.2]],
}


def oracle() -> nn.Sequential:
    """Return the network whose gradients BioTorch was run for."""
    layers: list[nn.Module] = []
    for weight, bias in zip(WEIGHTS, BIASES, strict=True):
        layer = nn.Linear(len(weight[0]), len(weight)).double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def fixed(matrices: dict[str, Any]) -> Any:
    return lambda name, outputs, hidden: torch.as_tensor(matrices[name]).to(hidden.dtype)


def passed_back(network: nn.Module, matrices: dict[str, Any]) -> dict[str, Tensor]:
    """Return the gradients of cross-entropy; without matrices those of backpropagation."""
    twin = copy.deepcopy(network)
    with direct_feedback(twin, list(matrices), fixed(matrices)):
        outputs = twin(INPUTS)
    assert outputs.equal(network(INPUTS)), "the forward pass keeps its bits"
    F.cross_entropy(outputs, LABELS).backward()  # type: ignore[no-untyped-call]
    return {name: value.grad for name, value in twin.named_parameters() if value.grad is not None}


def test_gradients_and_angles_are_those_of_biotorch() -> None:
    network = oracle()
    assert F.cross_entropy(network(INPUTS), LABELS).item() == pytest.approx(1.0650741, abs=1e-7)
    found, true = passed_back(network, FEEDBACK), passed_back(network, {})
    expected = {
        "0.weight": [
            [-0.088773, 0.0443865, -0.177546],
            [-0.0005526, -0.0014736, 0.001842],
            [-0.1410352, 0.0580674, 0.0416362],
            [-0.0470021, 0.023501, -0.0940042],
        ],
        "0.bias": [-0.088773, -0.001842, 0.1079699, -0.0470021],
        "2.bias": [-0.0115565, 0.0153993, 0.2089176, -0.1094796],
        "4.bias": [0.0202071, -0.0123682, -0.0078389],
    }
    for name, values in expected.items():
        assert torch.allclose(found[name], torch.tensor(values).double(), atol=1e-6), name
    row = torch.tensor([0.088773, 0, 0.009665, 0.118364]).double()
    assert torch.allclose(found["2.weight"][0], row, atol=1e-6)
    assert found["4.weight"].equal(true["4.weight"]), "the last layer has its gradient"

    angles = alignment_angles(true, found, {name: [f"{name}.weight"] for name in "024"})
    assert angles == {
        "0": pytest.approx(79.7223, abs=1e-4),
        "2": pytest.approx(96.1011, abs=1e-4),
        "4": 0,
    }


def test_the_weights_above_as_feedback_are_backpropagation() -> None:
    """Of one hidden layer, and of a deep network without activations."""
    shallow: Any = oracle()[2:]
    inputs = torch.cat([INPUTS, INPUTS[:, :1]], 1)
    twin = copy.deepcopy(shallow)
    with direct_feedback(shallow, ["3"], fixed({"3": shallow[2].weight.detach()})):
        F.cross_entropy(shallow(inputs), LABELS).backward()  # type: ignore[no-untyped-call]
    F.cross_entropy(twin(inputs), LABELS).backward()  # type: ignore[no-untyped-call]
    for one, other in zip(shallow.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-12)

    deep: Any = oracle()
    second, third = deep[2].weight.detach(), deep[4].weight.detach()
    products = {"1": third @ second, "3": third}
    linear = nn.Sequential(deep[0], nn.Identity(), deep[2], nn.Identity(), deep[4])
    found, true = passed_back(linear, products), passed_back(linear, {})
    assert all(torch.allclose(found[name], true[name], rtol=0, atol=1e-12) for name in true)
    bent, straight = passed_back(deep, products), passed_back(deep, {})
    assert torch.allclose(bent["2.weight"], straight["2.weight"], rtol=0, atol=1e-12)
    assert not torch.allclose(bent["0.weight"], straight["0.weight"]), "a slope lies in between"


def test_below_a_layer_its_signal_is_backpropagated() -> None:
    """A convolution learns from the surrogate loss <e B, h>."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 3)
    ).double()
    images, matrix = torch.randn(3, 1, 6, 6).double(), torch.randn(3, 6).double()
    hidden = network[:5](images)
    outputs = network[5](hidden)
    (error,) = torch.autograd.grad(F.cross_entropy(outputs, LABELS), outputs, retain_graph=True)
    surrogate = ((error @ matrix) * hidden).sum()
    below = list(network[:5].parameters())
    expected = torch.autograd.grad(surrogate, below)
    with direct_feedback(network, ["4"], fixed({"4": matrix})):
        F.cross_entropy(network(images), LABELS).backward()  # type: ignore[no-untyped-call]
    for value, gradient in zip(below, expected, strict=True):
        assert torch.allclose(value.grad, gradient, rtol=0, atol=1e-12)  # type: ignore[arg-type]
        assert gradient.any()


def test_maps_receive_dense_feedback() -> None:
    """B has a column for each channel and position."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3)).double()
    images, matrix = torch.randn(4, 1, 6, 6).double(), torch.randn(3, 32).double()
    maps: list[Tensor] = []
    handle = network[0].register_forward_hook(
        lambda layer, inputs, output: maps.append(output.retain_grad() or output)
    )
    with direct_feedback(network, ["0"], fixed({"0": matrix})):
        outputs = network(images)
    handle.remove()
    outputs.backward(error := torch.randn(4, 3).double())
    assert maps[0].grad is not None
    assert torch.allclose(maps[0].grad, (error @ matrix).view(4, 2, 4, 4))


@pytest.mark.parametrize(("kind", "largest"), [("uniform", 0.1), ("binary", 1 / 300**0.5)])
def test_matrices_are_drawn_as_the_paper_says(kind: Any, largest: float) -> None:
    def drawn() -> Tensor:
        return feedback_matrix(50, 100, torch.Generator().manual_seed(3), kind)

    assert drawn().equal(drawn())
    assert drawn().abs().max().item() == pytest.approx(largest, rel=1e-3)
    assert drawn().std().item() == pytest.approx(1 / 300**0.5, rel=0.03)
    assert abs(drawn().mean().item()) < 0.003
    real = feedback_matrix(50, 100, torch.Generator().manual_seed(3))
    assert drawn().sign().equal(real.sign())


def test_angles_start_near_ninety_degrees() -> None:
    """Within three standard deviations of angles of random vectors of the layer's width."""
    torch.manual_seed(1)
    layers = [nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10)]
    network = nn.Sequential(*layers)
    inputs, labels = torch.randn(200, 64), torch.arange(200) % 10
    draws = torch.Generator().manual_seed(4)

    def gradients(*names: str) -> dict[str, Tensor]:
        with direct_feedback(network, names, lambda *_: feedback_matrix(10, 100, draws)):
            loss = F.cross_entropy(network(inputs), labels)
        parameters = dict(network.named_parameters())
        return dict(
            zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True)
        )

    groups = {name: [f"{name}.weight"] for name in "02"}
    for value in alignment_angles(gradients(), gradients("1", "3"), groups).values():
        assert 90 - 3 * 57.3 / 10 < value < 90 + 3 * 57.3 / 10


def test_nothing_is_left_on_the_network() -> None:
    network = oracle()
    with pytest.raises(ZeroDivisionError), direct_feedback(network, ["1"], fixed(FEEDBACK)):
        raise ZeroDivisionError
    with direct_feedback(network, ["1"], fixed(FEEDBACK)):
        network(INPUTS)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


class Pair(nn.Module):
    """Gives out two tensors."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class First(nn.Module):
    """Takes the first of two."""

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("0", "layers: 0: gives out a tuple, no tensor; name a layer that gives out one tensor"),
        ("2", "layers: 2: gives out the outputs of the network, whose gradient is the error"),
    ],
)
def test_layers_that_cannot_be_cut_are_refused(layer: str, message: str) -> None:
    network = nn.Sequential(Pair(), First(), nn.Linear(3, 3))
    with pytest.raises(UserError, match=message), direct_feedback(network, [layer], fixed({})):
        network(torch.ones(2, 3))


def test_a_layer_that_is_not_called_is_refused() -> None:
    network = oracle()
    with (
        pytest.raises(UserError, match="layers: 1: the network does not call this layer"),
        direct_feedback(network, ["1"], fixed(FEEDBACK)),
    ):
        network[0](INPUTS)
