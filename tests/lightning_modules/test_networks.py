"""Networks: the papers' sizes, and the contract that resets rely on."""

from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.networks import (
    MLP,
    VGG,
    AllCNN,
    CifarResNet,
    ConvN,
    DepthCNN,
    LeNet300,
    Linear,
    ResNet,
    TeacherMLP,
    TwoPathNetwork,
    ViT,
    WideNetwork,
)
from lightning_modules.networks.residual import PostActivation, PreActivation, every
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from tests import registry

NETWORKS: dict[str, nn.Module] = {
    "resnet": ResNet(3, 10, width=8),
    "resnet pre group": ResNet(3, 10, depth=1, width=24, block="pre", norm="group"),
    "resnet imagenet stem": ResNet(3, 10, depth=1, width=8, stem="conv7x7s2", pool=True),
    "resnet ash": ResNet(3, 10, depth=1, width=16, stem="conv3x3s2", norm="none"),
    "all-cnn": AllCNN(3, 10, width=0.25),
    "all-cnn without norm": AllCNN(3, 10, width=0.25, norm="none"),
    "all-cnn gelu group": AllCNN(3, 10, width=0.25, norm="group", activation="gelu"),
    "depth 3": DepthCNN(3, 10, n=3),
    "mlp": MLP(3, 10, 32, widths=[20, 10], norm="none", activation="tanh"),
    "mlp norm": MLP(3, 10, 32, widths=[20]),
    "mlp crelu layer": MLP(3, 10, 32, widths=[20, 10], norm="layer", activation="crelu"),
    "linear": Linear(3, 10, 32),
    "teacher": TeacherMLP(3, 10, 32, widths=[8, 6]),
    "resnet layer": ResNet(3, 10, depth=1, width=8, norm="layer", activation="leaky_relu"),
    "resnet pre crelu": ResNet(3, 10, depth=1, width=8, block="pre", activation="crelu_half"),
    "vgg": VGG(3, 10, 32, depth=11, width=0.125),
    "vgg crelu layer": VGG(3, 10, 32, 11, 0.125, norm="layer", activation="crelu"),
    "lenet-300": LeNet300(3, 10, 32),
    "conv-6": ConvN(3, 10, 32, depth=6),
    "conv-2 crelu group": ConvN(3, 10, 32, norm="group", activation="crelu_half"),
    "cifar resnet": CifarResNet(3, 10, depth=8),
    "cifar resnet projection": CifarResNet(3, 10, 8, shortcut="projection", norm="none"),
    "two paths": TwoPathNetwork(3, 10, 32, options={"width": 8, "depth": 1}),
    "two paths n-layer": TwoPathNetwork(3, 10, 32, DepthCNN, merged_after="conv3"),
    "vit": ViT(3, 10, 32, patch=8, depth=2, width=12),
    "vit mu": ViT(3, 10, 32, patch=16, depth=1, width=12, preset="mu_small"),
    "wide": WideNetwork(3, 10, 32, width=20, depth=2, bias_variance=0.1),
    "wide standard erf": WideNetwork(3, 10, 32, 20, activation="erf", parametrisation="standard"),
    "wide flatten": WideNetwork(3, 10, 32, 8, kind="flatten", readout_bias_variance=0.1),
    "wide average": WideNetwork(3, 10, 32, 8, 2, "average", bias_variance=0.1),
}


def test_every_network_is_here() -> None:
    elsewhere = {
        "TimmNetwork",
        "TorchvisionNetwork",
        "AuxiliaryHeadsNetwork",
        "BoundaryNormNetwork",
        "CentredNetwork",
        "InjectableNetwork",
    }
    named = {type(network).__name__ for network in NETWORKS.values()}
    assert named | elsewhere == registry.NETWORKS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet(3, 10, width=0), "width: 0: set 1 or more"),
        (lambda: ResNet(3, 10, depth=-1), "depth: -1: set 1 or more"),
        (lambda: AllCNN(3, 10, width=0.001), "width: 0.001: a factor on 96 channels"),
        (lambda: DepthCNN(3, 10, n=0), "n: 0: set 1 or more"),
        (lambda: MLP(3, 10, 8, widths=[5, 0]), "widths: 0: set 1 or more"),
    ],
)
def test_networks_of_nothing_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def count(network: nn.Module, dimensions: int | None = None) -> int:
    return sum(
        parameter.numel()
        for parameter in network.parameters()
        if dimensions in (None, parameter.ndim)
    )


@pytest.mark.parametrize(
    ("width", "depth", "parameters"),
    [
        (16, 2, 701_466),
        (32, 2, 2_797_610),
        (64, 1, 4_903_242),
        (64, 2, 11_173_962),
        (64, 3, 17_444_682),
        (64, 4, 23_715_402),
        (128, 2, 44_662_922),
    ],
)
def test_resnets_have_the_papers_sizes(width: int, depth: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count(ResNet(3, 10, depth=depth, width=width)) == parameters


def test_the_other_networks_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        assert count(AllCNN(3, 10), 4) == 1_617_312
        assert count(MLP(1, 10, 32), 2) == 12_565_000
        assert count(Linear(3, 10, 32)) == 30_730
        for n, channels in (
            (1, [96, 96, 192, 192, 192]),
            (2, [96, 96, 192, 192, 384, 384, 384]),
            (3, [96, 96, 192, 192, 384, 384, 768, 768, 768]),
        ):
            kernels = [3] * (len(channels) - 1) + [1, 1]
            pairs = zip([3, *channels], [*channels, 10], kernels, strict=True)
            assert count(DepthCNN(3, 10, n), 4) == sum(
                inputs * outputs * kernel**2 for inputs, outputs, kernel in pairs
            )


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_name_every_parameter_from_bottom_to_top(name: str) -> None:
    network: Any = NETWORKS[name]
    owners = [parameter.split(".")[0] for parameter, _ in network.named_parameters()]
    assert list(dict.fromkeys(owners)) == list(network.blocks)
    assert network.blocks[-1] == "head"


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_belongs_to_a_layer_that_can_reset_itself(name: str) -> None:
    for layer in NETWORKS[name].modules():
        if list(layer.parameters(recurse=False)):
            assert callable(layer.reset_parameters), layer


@pytest.mark.parametrize("name", NETWORKS)
def test_images_become_logits_and_every_parameter_gets_a_gradient(name: str) -> None:
    network = NETWORKS[name].train()
    logits = network(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 10)
    logits.logsumexp(1).sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("block", [PostActivation, PreActivation])
def test_a_shortcut_is_a_strided_1x1_convolution(block: Any) -> None:
    layer, x = block(4, 8, 2, "none"), torch.randn(2, 4, 9, 9)
    convolution = layer.shortcut[0] if block is PostActivation else layer.shortcut
    expected = nn.functional.conv2d(x, convolution.weight, convolution.bias, stride=2)
    assert torch.allclose(convolution(every(2, x)), expected, atol=1e-6)
    assert layer(x).shape == expected.shape


def test_the_blocks_halve_the_image_where_the_papers_do() -> None:
    network, sizes = ResNet(3, 10, width=8), []
    x = torch.randn(1, 3, 32, 32)
    for name in network.blocks[:-1]:
        x = network.get_submodule(name)(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(8, 32, 32), (8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]
    assert ResNet(3, 10, width=8, stem="conv7x7s2", pool=True).stem(
        torch.randn(1, 3, 32, 32)
    ).shape == (1, 8, 8, 8)


def test_initial_values_depend_on_seed_and_layer_name_alone() -> None:
    def drawn(seed: int, classes: int = 10) -> dict[str, torch.Tensor]:
        network = construct(ResNet, 3, classes, depth=1, width=8)
        init_parameters(network, seed)
        return network.state_dict()

    first, same, reseeded, wider = drawn(0), drawn(0), drawn(1), drawn(0, 7)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["stem.conv.weight"], reseeded["stem.conv.weight"])
    assert not torch.equal(first["layer1.0.conv1.weight"], first["layer1.0.conv2.weight"])
    for name in first:
        assert name.startswith("head") or torch.equal(first[name], wider[name]), (
            "another head leaves the rest alone"
        )


def test_initial_values_have_pytorchs_distribution() -> None:
    network = construct(ResNet, 3, 10, width=32)
    init_parameters(network, 0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 5000:
            bound = (layer.in_channels * layer.kernel_size[0] ** 2) ** -0.5
            assert layer.weight.abs().max() <= bound
            assert abs(float(layer.weight.detach().std(correction=0)) / (bound / 3**0.5) - 1) < 0.05
