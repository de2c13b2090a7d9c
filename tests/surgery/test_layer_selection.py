"""Which layers are chosen."""

import pytest
from torch import nn

from lightning_modules.networks import ResNet
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.layer_selection import layers_with_state, select_layers

NETWORK = ResNet(1, 10, width=4, depth=1)


def tops(names: dict[str, nn.Module]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_last_counts_blocks_from_the_top() -> None:
    assert tops(select_layers(NETWORK, 1, None)) == {"head"}
    assert tops(select_layers(NETWORK, 4, None)) == {"layer2", "layer3", "layer4", "head"}
    assert select_layers(NETWORK, 6, None) == layers_with_state(NETWORK)


def test_patterns_choose_layers_with_their_parts() -> None:
    assert tops(select_layers(NETWORK, None, ["layer4", "head"])) == {"layer4", "head"}
    assert tops(select_layers(NETWORK, None, ["layer*"])) == {
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    }
    assert set(select_layers(NETWORK, None, ["*.norm1"])) == {
        f"layer{module}.0.norm1" for module in (1, 2, 3, 4)
    }


@pytest.mark.parametrize(
    ("last", "layers", "message"),
    [
        (None, None, "set either last: 3 .* or layers"),
        (2, ["head"], "set either last: 3"),
        (7, None, r"last: 7: ResNet has 6 blocks \(stem, layer1, .*head\)"),
        (0, None, "last: 0: ResNet has 6 blocks"),
        (
            None,
            ["layer5"],
            (
                "layers: layer5: matches nothing; there are stem, layer1, layer2, layer3, "
                "layer4, head and their parts"
            ),
        ),
        (None, ["head", "heads*"], r"layers: heads\*: matches nothing"),
    ],
)
def test_no_effect_is_an_error(last: int | None, layers: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        select_layers(NETWORK, last, layers)


def test_a_network_without_blocks_is_named() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(UserError, match="last: 1: Sequential does not list its blocks; use layers"):
        select_layers(network, 1, None)
    with pytest.raises(
        UserError, match="layers: 1: have no values to draw; choose layers with parameters"
    ):
        select_layers(network, None, ["1"])
    assert set(select_layers(network, None, ["*"])) == {"0"}
