"""Networks of timm: their forward pass and initialisation, with sizes from the data."""

import importlib.util
import socket
from typing import Any

import pytest
import torch

from lightning_modules.fitting import check_fit
from lightning_modules.networks import TimmNetwork
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import last_layer
from plasticity_lab.randomness import seeded_global_rng
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from tests.callbacks.interventions.arms import FROZEN, intervention
from tests.runs import fit, tiny

SIZED = {"img_size": 16}
"""What networks of patches are told."""


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where something would be downloaded."""

    def refuse(*args: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("test_resnet", {}, {}),
        ("test_vit", {}, SIZED),
        ("test_vit", {"patch_size": 4}, SIZED),
        ("test_vit.r160_in1k", {}, SIZED),
        ("test_efficientnet", {"drop_rate": 0.1}, {}),
        ("deit_tiny_patch16_224", {"depth": 1, "patch_size": 8}, SIZED),
    ],
)
def test_its_forward_pass_and_values_are_timms(
    name: str, options: dict[str, Any], sizes: dict[str, Any]
) -> None:
    timm = pytest.importorskip("timm")
    images = torch.randn(2, 1, 16, 16)
    with seeded_global_rng(0, "test"):
        theirs = timm.create_model(name, in_chans=1, num_classes=7, **sizes, **options).eval()
    with seeded_global_rng(0, "test"):
        ours = construct(TimmNetwork, 1, 7, 16, name, options).eval()
    assert torch.equal(ours(images), theirs(images))


def test_blocks_run_from_bottom_to_top_and_end_in_the_layer_of_the_outputs() -> None:
    pytest.importorskip("timm")
    resnet = TimmNetwork(1, 10, 32, "test_resnet")
    layers = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
    assert resnet.blocks == tuple(f"model.{name}" for name in layers)
    vit = TimmNetwork(1, 10, 32, "test_vit").blocks
    assert vit[:2] == ("model.patch_embed", "model.blocks.0")
    assert vit[-2:] == ("model.norm", "model.head")
    convnext = TimmNetwork(1, 10, 32, "test_convnext")
    assert convnext.blocks[-2:] == ("model.head.norm", "model.head.fc")
    assert last_layer(convnext) == "model.head.fc"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "resnet19"},
            "name: resnet19: timm has no such network; the nearest are resnet",
        ),
        ({"name": "hf-hub:timm/resnet18"}, "name: hf-hub:timm/resnet18: timm has no such"),
        (
            {"name": "test_resnet", "options": {"deep": 3}},
            "test_resnet: options: {'deep': 3}, image size 16: .* unexpected keyword .*'deep'",
        ),
        (
            {"name": "test_resnet", "options": {"img_size": 16}},
            "test_resnet: options: {'img_size': 16}, image size 16: .* unexpected keyword",
        ),
        ({"name": "test_vit.none"}, r"test_vit.none: options: .*Invalid pretrained tag \(none\)"),
        (
            {"name": "test_convnext"},
            "cannot take images .* = .1, 16, 16.: .*; use images of 32 x 32 pixels, or another",
        ),
        (
            {"name": "test_vit", "options": {"num_classes": 0}},
            r"network: TimmNetwork: makes \(2, 64\) of 2 images; it must return",
        ),
    ],
)
def test_what_cannot_be_built_is_one_line(arguments: dict[str, Any], message: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(UserError, match=message) as refusal:
        check_fit(TimmNetwork(1, 10, 16, **arguments), (1, 16, 16), 10)
    assert len(str(refusal.value).splitlines()) == 1


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, *args: Any) -> Any:
        return None if name == "timm" else found(name, *args)

    monkeypatch.setattr("lightning_modules.networks.timm_network.find_spec", without)
    message = r'^TimmNetwork: needs timm; pip install "plasticity-lab\[timm\]"$'
    with pytest.raises(UserError, match=message):
        TimmNetwork(1, 10, 16, "resnet18")


@pytest.mark.slow
def test_a_run_starts_from_its_constructor_and_resets_its_blocks() -> None:
    pytest.importorskip("timm")
    node = {
        "class_path": "lightning_modules.networks.TimmNetwork",
        "init_args": {"name": "test_vit"},
    }
    reset = intervention("LayerReset", at=["11st"], last=2, to="initial")
    fragments = (
        {"model": {"init_args": {"network": node}}},
        {"trainer": {"callbacks+": [reset, FROZEN]}},
    )
    network: Any = fit(*tiny(*fragments)).model.network
    expected: Any = construct(TimmNetwork, 1, 10, 16, "test_vit")
    init_parameters(expected, 0)
    for name, value in network.named_parameters():
        initial = torch.equal(value, expected.get_parameter(name))
        assert initial == name.startswith(("model.norm", "model.head")), name
