"""VGG, ViT, the lottery papers' networks and CIFAR ResNets against references written by hand."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks import VGG, CifarResNet, ConvN, LeNet300, ViT
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(channels: list[int], bias: bool) -> int:
    """Return the parameters of 3x3 convolutions between these numbers of channels."""
    pairs = pairwise(channels)
    return sum(9 * inputs * outputs + bias * outputs for inputs, outputs in pairs)


def linear(units: list[int]) -> int:
    """Return the weights and biases of linear layers between these numbers of units."""
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(units))


VGG_CHANNELS = {
    11: [64, 128, 256, 256, 512, 512, 512, 512],
    13: [64, 64, 128, 128, 256, 256, 512, 512, 512, 512],
    16: [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512],
    19: [64, 64, 128, 128, *[256] * 4, *[512] * 8],
}


@pytest.mark.parametrize("depth", VGG_CHANNELS)
def test_vggs_have_the_size_of_the_cifar_form(depth: Any) -> None:
    channels = VGG_CHANNELS[depth]
    with torch.device("meta"):
        batch, plain = VGG(3, 10, 32, depth), VGG(3, 10, 32, depth, norm="none")
    norms = 2 * sum(channels)
    assert count(batch) == convolutions([3, *channels], bias=False) + norms + linear([512, 10])
    assert count(plain) == convolutions([3, *channels], bias=True) + linear([512, 10])
    published = {11: 9.2e6, 13: 9.4e6, 16: 14.7e6, 19: 20.0e6}
    assert count(batch) == pytest.approx(published[depth], rel=0.005)


def test_a_vgg_is_its_layers_one_after_another() -> None:
    network, layers, inputs = VGG(3, 5, 32, 13, width=0.125), [], 3
    for number, outputs in enumerate(VGG_CHANNELS[13], 1):
        outputs //= 8
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
        if number in (2, 4, 6, 8):
            layers.append(nn.MaxPool2d(2))
        inputs = outputs
    reference = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 5))
    values = list(network.state_dict().values())
    reference.load_state_dict(dict(zip(reference.state_dict(), values, strict=True)))
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(network(images), reference(images))
    assert len(network.blocks) == 11


def test_lottery_networks_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        assert count(LeNet300(1, 10, 28)) == linear([784, 300, 100, 10]) == 266_610
        channels: list[int] = [3]
        for depth, size, features in (
            (2, 4_301_642, 16384),
            (4, 2_425_930, 8192),
            (6, 2_262_602, 4096),
        ):
            channels += [32 * 2 ** (depth // 2)] * 2
            hidden = linear([features, 256, 256, 10])
            assert count(ConvN(3, 10, 32, depth)) == size  # type: ignore[arg-type]
            assert size == convolutions(channels, bias=True) + hidden


def test_conv_4_is_its_layers_one_after_another() -> None:
    narrow = ConvN(3, 10, 16, 2, width=0.25)
    assert narrow.get_parameter("hidden1.linear.weight").shape == (64, 16 * 8 * 8)
    network, widths = ConvN(3, 10, (12, 20), 4), [3, 64, 64, 128, 128]
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(widths), 1):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        if number % 2 == 0:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(128 * 3 * 5, 256), nn.ReLU()]
    layers += [nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
    reference = nn.Sequential(*layers)
    values = list(network.state_dict().values())
    reference.load_state_dict(dict(zip(reference.state_dict(), values, strict=True)))
    images = torch.randn(2, 3, 12, 20)
    torch.testing.assert_close(network(images), reference(images))


@pytest.mark.parametrize(
    ("depth", "published"), [(20, 0.27e6), (32, 0.46e6), (56, 0.85e6), (110, 1.7e6)]
)
def test_cifar_resnets_have_the_papers_sizes(depth: int, published: float) -> None:
    n = (depth - 2) // 6
    channels = [16] * 2 * n + [32] * 2 * n + [64] * 2 * n
    expected = convolutions([3, 16, *channels], bias=False) + 2 * (16 + sum(channels)) + 650
    with torch.device("meta"):
        assert count(CifarResNet(3, 10, depth)) == expected
        projected = CifarResNet(3, 10, depth, shortcut="projection")
        assert count(projected) == expected + 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert expected == pytest.approx(published, rel=0.02)


def test_resnet_20_with_padded_shortcuts_is_a_plain_loop() -> None:
    network: Any = CifarResNet(3, 10, 20).double().eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.1, 0.2)

    def step(x: Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d, stride: int) -> Tensor:
        x = F.conv2d(x, convolution.weight, None, stride, padding=1)
        mean, variance = norm.running_mean, norm.running_var
        return F.batch_norm(x, mean, variance, norm.weight, norm.bias)

    images = torch.randn(2, 3, 32, 32, dtype=torch.double)
    x = step(images, network.stem.conv, network.stem.norm, 1).clamp(min=0)
    for stage, layer in enumerate((network.layer1, network.layer2, network.layer3)):
        for index, block in enumerate(layer):
            stride = 2 if stage and not index else 1
            out = step(x, block.conv1, block.norm1, stride).clamp(min=0)
            out = step(out, block.conv2, block.norm2, 1)
            short = x
            if stride == 2:
                short = torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], 1)
            x = (out + short).clamp(min=0)
            assert (x > 0).any(1).all(), "neither branch is silent"
    expected = x.mean((2, 3)) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize("preset", ["standard", "mu_small"])
def test_a_vit_has_the_size_of_its_formula_and_the_output_of_torchs_encoder(preset: Any) -> None:
    width, heads, depth, patch = 24, 3, 2, 4
    network: Any = ViT(3, 7, (16, 8), patch, depth, width, heads, preset=preset).double()
    tokens, units = 8 + 1, 4 * width
    block = 4 * width + linear([width, 3 * width]) + linear([width, width])
    block += linear([width, units]) + linear([units, width])
    patches = 3 * patch**2 * width + width
    expected = patches + width + tokens * width + depth * block + 2 * width + linear([width, 7])
    assert count(network) == expected

    layer = nn.TransformerEncoderLayer(
        width, heads, units, 0, "gelu", batch_first=True, norm_first=True, dtype=torch.double
    )
    images = torch.randn(2, 3, 16, 8, dtype=torch.double)
    cut = images.unfold(2, patch, patch).unfold(3, patch, patch).permute(0, 2, 3, 1, 4, 5)
    kernel = network.embedding.patches.weight.flatten(1)
    x = cut.reshape(2, 8, -1) @ kernel.T + network.embedding.patches.bias
    first = network.embedding.class_token.expand(2, 1, width)
    x = torch.cat([first, x], 1) + network.embedding.positions
    for part in (network.block1, network.block2):
        # torch has 1/sqrt(d) alone: queries are scaled by what is missing.
        scale = (width // heads) ** -0.5 if preset == "mu_small" else 1
        projections = part.attention.q, part.attention.k, part.attention.v
        weight = torch.cat([one.weight for one in projections])
        bias = torch.cat([one.bias for one in projections])
        weight[:width] *= scale
        bias[:width] *= scale
        values = {
            "self_attn.in_proj_weight": weight,
            "self_attn.in_proj_bias": bias,
            "self_attn.out_proj.weight": part.attention.out.weight,
            "self_attn.out_proj.bias": part.attention.out.bias,
            **{f"linear1.{key}": value for key, value in part.mlp.linear1.state_dict().items()},
            **{f"linear2.{key}": value for key, value in part.mlp.linear2.state_dict().items()},
            **{f"norm1.{key}": value for key, value in part.norm1.state_dict().items()},
            **{f"norm2.{key}": value for key, value in part.norm2.state_dict().items()},
        }
        x = torch.func.functional_call(layer, values, (x,))
    x = F.layer_norm(x[:, 0], (width,), network.norm.weight, network.norm.bias)
    logits = x @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(images), logits)


def test_presets_draw_by_their_formulas() -> None:
    width = 256
    standard: Any = ViT(3, 100, 16, 4, 1, width, 4)
    small: Any = ViT(3, 100, 16, 4, 1, width, 4, preset="mu_small")
    deviations = {
        "head": (0.02, 1 / width),
        "block1.attention.q": (0.02, width**-0.5),
        "block1.mlp.linear2": (0.02, (4 * width) ** -0.5),
    }
    for name, expected in deviations.items():
        for network, deviation in zip((standard, small), expected, strict=True):
            layer = network.get_submodule(name)
            assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.03)
            assert not layer.bias.any()
    for network in (standard, small):
        assert float(network.embedding.positions.detach().std()) == pytest.approx(0.02, rel=0.05)
    # Outputs of layer-normed features of 1 have a deviation of 1 / sqrt(width).
    outputs = small(torch.randn(8, 3, 16, 16)).detach()
    assert float(outputs.std()) == pytest.approx(width**-0.5, rel=0.1)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (VGG, {"image_size": 16, "width": 0.1, "norm": "layer", "activation": "crelu"}),
        (ConvN, {"image_size": 16, "norm": "group"}),
        (CifarResNet, {"depth": 8}),
        (ViT, {"image_size": 16, "depth": 1, "width": 12}),
        (ViT, {"image_size": 16, "depth": 1, "width": 12, "preset": "mu_small"}),
    ],
)
def test_layers_are_drawn_by_seed_and_name_alone(kind: Any, arguments: dict[str, Any]) -> None:
    def drawn(seed: int, classes: int = 10) -> dict[str, Tensor]:
        network = construct(kind, 3, classes, **arguments)
        init_parameters(network, seed)
        return dict(network.named_parameters())

    first, again, other, wider = drawn(0), drawn(0), drawn(1), drawn(0, 7)
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
        assert value.ndim == 1 or not torch.equal(value, other[name]), name
        assert name.startswith("head") or torch.equal(value, wider[name]), name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: VGG(3, 10, 8),
            "image size: 8: 4 poolings halve the images; use images of 16 pixels or more",
        ),
        (lambda: VGG(3, 10, (32, 15)), r"image size: \(32, 15\): 4 poolings"),
        (lambda: VGG(3, 10, 32, 12), "depth: 12: set 11, 13, 16 or 19"),  # type: ignore[arg-type]
        (lambda: VGG(3, 10, 32, width=0.001), "width: 0.001: a factor on 64 channels"),
        (lambda: ConvN(3, 10, 7, 6), "image size: 7: 3 poolings halve the images"),
        (lambda: ConvN(3, 10, 32, width=0.001), "width: 0.001: a factor on 64 channels; set 1"),
        (lambda: ConvN(3, 10, 32, 3), "depth: 3: set 2, 4 or 6"),  # type: ignore[arg-type]
        (lambda: CifarResNet(3, 10, 18), r"depth: 18: is not 6n \+ 2; set 20, 32, 44, 56 or 110"),
        (lambda: CifarResNet(3, 10, 2), r"depth: 2: is not 6n \+ 2"),
        (lambda: ViT(3, 10, 30), "patch: 4: does not divide images of 30 x 30 pixels; set a div"),
        (lambda: ViT(3, 10, 32, heads=5), "heads: 5: does not divide width: 192; set a divisor"),
        (lambda: ViT(3, 10, 32, depth=0), "depth: 0: set 1 or more"),
    ],
)
def test_what_cannot_be_built_is_one_line(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
