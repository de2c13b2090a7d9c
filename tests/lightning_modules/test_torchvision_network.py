"""Torchvision's networks: their forward pass and initialisation, with sizes from the data."""

from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from lightning_modules.fitting import check_fit
from lightning_modules.networks import TorchvisionNetwork
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import seeded_global_rng
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from tests.callbacks.interventions.arms import FROZEN, intervention
from tests.runs import fit, tiny
from tests.test_bad_input import refused

SMALL = {"name": "resnet18", "options": {"zero_init_residual": True}}


def adapter(**arguments: Any) -> dict[str, Any]:
    node = {"class_path": "lightning_modules.networks.TorchvisionNetwork", "init_args": arguments}
    return {"model": {"init_args": {"network": node}}}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 16),
        ("vit_b_16", 32),
        ("squeezenet1_1", 32),
        ("densenet121", 32),
        ("mobilenet_v3_small", 16),
        ("googlenet", 32),
        pytest.param("vgg11_bn", 32, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", 32, marks=pytest.mark.slow),
        pytest.param("swin_t", 16, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 16, marks=pytest.mark.slow),
        pytest.param("inception_v3", 96, marks=pytest.mark.slow),
    ],
)
def test_its_forward_pass_and_values_are_torchvisions(name: str, size: int) -> None:
    options: dict[str, Any] = {"image_size": size} if name.startswith("vit") else {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    images = torch.randn(2, 3, size, size)
    with seeded_global_rng(0, "test"):
        theirs = torchvision.models.get_model(name, num_classes=7, **options).eval()
    with seeded_global_rng(0, "test"):
        ours = TorchvisionNetwork(3, 7, size, name).eval()
    assert torch.equal(ours(images), theirs(images))
    grey = TorchvisionNetwork(1, 7, size, name)
    assert grey(images[:, :1]).shape == (2, 7)
    assert [tensor.shape for tensor in list(grey.parameters())[2:]] == [
        tensor.shape for tensor in list(theirs.parameters())[2:]
    ]
    assert nn.Conv2d(3, 5, 1).in_channels == 3, "torch is as it was"


def test_another_first_convolution_has_torchvisions_initialisation() -> None:
    conv: Any = TorchvisionNetwork(5, 10, 32, "resnet18").model.conv1
    assert conv.in_channels == 5
    assert float(conv.weight.detach().std()) == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)


def test_blocks_run_from_bottom_to_top() -> None:
    blocks = TorchvisionNetwork(1, 10, 32, "resnet18").blocks
    assert blocks == tuple(
        f"model.{name}" for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
    )
    assert TorchvisionNetwork(1, 10, 32, "squeezenet1_1").blocks[-1] == "model.classifier"
    vit = TorchvisionNetwork(1, 10, 32, "vit_b_16").blocks
    assert vit[:2] == ("model.conv_proj", "model.encoder.layers.encoder_layer_0")
    assert vit[-2:] == ("model.encoder.ln", "model.heads")


@pytest.mark.slow
def test_a_run_starts_from_its_constructor_and_resets_its_blocks() -> None:
    reset = {
        "trainer": {
            "callbacks+": [intervention("LayerReset", at=["11st"], last=3, to="initial"), FROZEN]
        }
    }
    network: Any = fit(*tiny(adapter(**SMALL), reset)).model.network
    expected: Any = construct(TorchvisionNetwork, 1, 10, 16, **SMALL)
    init_parameters(expected, 0)
    assert not expected.model.layer1[0].bn2.weight.any()
    for name, value in network.named_parameters():
        assert torch.equal(value, expected.get_parameter(name)) == name.startswith(
            ("model.layer3", "model.layer4", "model.fc")
        ), name


def test_an_unknown_name_or_option_is_one_line() -> None:
    with pytest.raises(
        UserError, match="name: resnet19: torchvision has no such network; the nearest are resnet"
    ):
        TorchvisionNetwork(1, 10, 16, "resnet19")
    with pytest.raises(
        UserError,
        match=(
            r"resnet18: options: .*'deep': 3.*, image size 16: .*unexpected keyword argument "
            r"'deep'"
        ),
    ):
        TorchvisionNetwork(1, 10, 16, "resnet18", {"deep": 3})
    with pytest.raises(
        UserError,
        match="vit_b_16: options: None, image size 20: Input shape indivisible by patch size",
    ):
        TorchvisionNetwork(1, 10, 20, "vit_b_16")


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "squeezenet1_1",
            16,
            "cannot take .* output size is too small .*; use images of 32 x 32 pixels, or another",
        ),
        pytest.param(
            "alexnet", 32, "cannot take .*; use images of 64 x 64", marks=pytest.mark.slow
        ),
        ("maxvit_t", 16, "maxvit_t: options: None, image size 16: Input size .* not divisible by"),
    ],
)
def test_images_that_are_too_small_are_one_line(name: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=f"(?i){message}") as refusal:
        check_fit(TorchvisionNetwork(1, 10, size, name), (1, size, size), 10)
    assert len(str(refusal.value).splitlines()) == 1


def test_whatever_an_option_raises_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"resnet18: options: {'layers': 'four'}, image size 16: .+"
    ):
        TorchvisionNetwork(1, 10, 16, "resnet18", {"layers": "four"})
    with pytest.raises(UserError, match=r"regnet_y_400mf: options: {'stem_width': None}, image"):
        TorchvisionNetwork(1, 10, 16, "regnet_y_400mf", {"stem_width": None})


VIT = {"patch_size": 4, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 16}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a function": (
        {"class_path": "torchvision.models.resnet18"},
        (
            r"model.network: a function; set the path of a class, for torchvision's networks "
            r"class_path: .*TorchvisionNetwork"
        ),
    ),
    "other channels": (
        {"class_path": "torchvision.models.VisionTransformer", "init_args": VIT},
        (
            r"network: VisionTransformer: cannot take images \(channels, height, width\) = \(1, "
            r"16, 16\): RuntimeError: .*3 channels"
        ),
    ),
    "another size": (
        {
            "class_path": "torchvision.models.VisionTransformer",
            "init_args": {**VIT, "patch_size": 5},
        },
        "network: VisionTransformer: Input shape indivisible by patch size",
    ),
    "no logits": (
        {"class_path": "tests.own_networks.Features"},
        (
            r"network: Features: makes \(2, 1, 16, 16\) of 2 images; it must return \(batch, "
            r"outputs\) = \(2, 10\)"
        ),
    ),
    "logits with others": (
        {"class_path": "tests.own_networks.WithFeatures"},
        r"network: WithFeatures: makes tuple of 2 images; it must return",
    ),
}


@pytest.mark.filterwarnings("ignore:\\s*Unable to serialize instance")
@pytest.mark.parametrize("case", BAD)
def test_a_network_that_does_not_fit_is_one_line(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node, message = BAD[case]
    refused(["fit", *tiny({"model": {"init_args": {"network": node}}})], message, capsys)
