"""Two pathways that merge."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks import MLP, AllCNN, DepthCNN, ResNet, TwoPathNetwork
from plasticity_lab.errors import UserError


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def halves(images: Tensor) -> tuple[Tensor, Tensor]:
    """Zero the columns that the other pathway sees, as the authors' code does."""
    left, right = images.clone(), images.clone()
    left[:, :, :, 16:] = 0
    right[:, :, :, :16] = 0
    return left, right


def test_it_is_a_resnet_whose_first_blocks_are_there_twice() -> None:
    """With both pathways alike, their sum is that of one pathway on either half."""
    network = TwoPathNetwork(3, 10, 32, options={"width": 4, "block": "pre"}).eval()
    single: Any = ResNet(3, 10, width=4, block="pre").eval()
    for path in (network.left, network.right):
        path.load_state_dict(lower(single))
    for name in ("layer3", "layer4", "head"):
        network.get_submodule(name).load_state_dict(single.get_submodule(name).state_dict())
    images = torch.randn(2, 3, 32, 32)
    x = sum(single.layer2(single.layer1(single.stem(half))) for half in halves(images))
    expected = single.head(single.layer4(single.layer3(x)).mean((2, 3)))
    assert torch.equal(network(images), expected)


def lower(network: ResNet) -> dict[str, Tensor]:
    names = ("stem", "layer1", "layer2")
    return {
        name: value for name, value in network.state_dict().items() if name.split(".")[0] in names
    }


@pytest.mark.parametrize("damaged", ["left", "right"])
def test_a_pathway_sees_one_half(damaged: str) -> None:
    network = TwoPathNetwork(3, 10, 32, options={"width": 4, "depth": 1}).eval()
    images = torch.randn(2, 3, 32, 32)
    changed = images.clone()
    changed[..., :16] += 1
    seen: dict[str, Tensor] = {}
    for name in ("left", "right"):
        network.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.update({name: inputs[0]})
        )
    network(images)
    before = dict(seen)
    network(changed)
    assert torch.equal(before["right"], seen["right"])
    assert not torch.equal(before["left"], seen["left"])
    assert torch.equal(before[damaged], halves(images)[damaged == "right"])


def test_it_has_the_papers_size() -> None:
    """SResNet-18: a ResNet-18, and stem, layer1 and layer2 once more."""
    with torch.device("meta"):
        single: Any = ResNet(3, 10, block="pre")
        more = sum(count(part) for part in (single.stem, single.layer1, single.layer2))
        assert count(TwoPathNetwork(3, 10, 32, options={"block": "pre"})) == count(single) + more


def test_pathways_start_from_different_weights() -> None:
    network: Any = TwoPathNetwork(3, 10, 32, AllCNN, {"width": 0.1}, merged_after="conv2")
    assert not torch.equal(network.left.conv1.conv.weight, network.right.conv1.conv.weight)
    assert network.blocks == ("left", "right", *(f"conv{number}" for number in range(3, 9)), "head")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": MLP}, "network: MLP: set one of ResNet, CifarResNet, AllCNN, DepthCNN"),
        ({"merged_after": "head"}, "merged_after: head: set one of stem, layer1"),
        ({"network": DepthCNN}, "merged_after: layer2: set one of conv1"),
        ({"options": {"widths": 3}}, "ResNet: options"),
        ({"options": {"block": "prae"}}, "ResNet: block: prae: is no Literal"),
        ({"options": {"width": 4.5}}, "ResNet: width: 4.5: is no int; set one"),
        ({"options": {"num_classes": 5}}, "ResNet: options: num_classes: 5: is set outside"),
    ],
)
def test_what_it_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TwoPathNetwork(3, 10, 32, **arguments)  # type: ignore[arg-type]
