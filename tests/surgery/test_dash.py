"""DASH against numbers of the authors' code."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.surgery import direction_aware_shrink

INPUTS = torch.tensor([[1.0, 2.0], [-1.0, 1.0], [0.5, -1.0]])
TARGETS = torch.tensor([0, 1, 0])


def layer_of() -> nn.Linear:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
        layer.bias.copy_(torch.tensor([0.5, -0.5]))
    return layer


def descent(layer: nn.Module, chosen: slice) -> dict[str, Tensor]:
    loss = F.cross_entropy(layer(INPUTS[chosen]), TARGETS[chosen])
    slopes = torch.autograd.grad(loss, list(layer.parameters()))
    return {name: -slope for (name, _), slope in zip(layer.named_parameters(), slopes, strict=True)}


def test_one_batch_gives_the_numbers_of_the_authors_code() -> None:
    layer = layer_of()
    direction = descent(layer, slice(None))
    expected = torch.tensor([[0.268957, 0.218400], [-0.268957, -0.218400]])
    torch.testing.assert_close(direction["weight"], expected, atol=1e-6, rtol=0)
    direction_aware_shrink({"": layer}, direction, least=0.3)
    torch.testing.assert_close(
        layer.weight.data, torch.tensor([[0.776294, 0.0], [0.0, 0.3]]), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(layer.bias.data, torch.tensor([0.5, -0.5]))


def test_an_average_over_two_batches_gives_the_numbers_of_the_authors_code() -> None:
    layer = layer_of()
    first, second = descent(layer, slice(0, 2)), descent(layer, slice(2, 3))
    average = {name: 0.3 * 0.7 * first[name] + 0.3 * second[name] for name in first}
    direction_aware_shrink({"": layer}, average, least=0.05)
    torch.testing.assert_close(
        layer.weight.data, torch.tensor([[0.862683, 0.0], [0.0, 0.05]]), atol=1e-6, rtol=0
    )


def test_each_kernel_has_a_factor_of_its_own_and_the_bias_one() -> None:
    conv = nn.Conv2d(2, 3, 3)
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    draws = torch.Generator().manual_seed(0)
    direction = {name: torch.randn(value.shape, generator=draws) for name, value in before.items()}
    direction_aware_shrink({"": conv}, direction, least=0.2)
    for output in range(3):
        for taken in range(2):
            kernel, towards = before["weight"][output, taken], direction["weight"][output, taken]
            cosine = (kernel * towards).sum() / kernel.norm() / towards.norm()
            expected = kernel * cosine.clamp(0.2, 1)
            torch.testing.assert_close(conv.weight.data[output, taken], expected)
    cosine = (before["bias"] * direction["bias"]).sum()
    cosine /= before["bias"].norm() * direction["bias"].norm()
    torch.testing.assert_close(conv.state_dict()["bias"], before["bias"] * cosine.clamp(0.2, 1))


def test_factors_do_not_depend_on_the_size_of_gradients() -> None:
    shrunk = []
    for size in (1.0, 1e-12, 1e-30):
        layer = layer_of()
        direction = {name: size * value for name, value in descent(layer, slice(None)).items()}
        direction_aware_shrink({"": layer}, direction, least=0.3)
        shrunk.append(layer.weight.detach())
    for weight in shrunk[1:]:
        torch.testing.assert_close(weight, shrunk[0])


def test_a_gradient_of_zeros_shrinks_by_the_least_factor() -> None:
    layer = layer_of()
    direction_aware_shrink({"": layer}, {"weight": torch.zeros(2, 2)}, least=0.3)
    torch.testing.assert_close(layer.weight.detach(), 0.3 * torch.eye(2))
