"""Arguments of a class that another class builds."""

from typing import Any, Literal

import pytest
from torch import nn

from lightning_modules.networks import CentredNetwork, ResNet
from plasticity_lab.class_options import read_options
from plasticity_lab.errors import UserError


class Part:
    def __init__(  # type: ignore[no-untyped-def]
        self,
        sizes: list[int],
        rate: float,
        kind: Literal["a", "b"],
        network: type[nn.Module],
        layer: nn.Module,
        untyped=None,  # noqa: ANN001
    ) -> None: ...


def test_options_are_read_as_on_the_command_line() -> None:
    read = read_options(
        Part,
        {
            "sizes": [1, "2"],
            "rate": "1e-3",
            "kind": "b",
            "network": "lightning_modules.networks.ResNet",
            "layer": {"class_path": "torch.nn.Softplus", "init_args": {"beta": 2.0}},
            "untyped": None,
            "unknown": "3",
        },
    )
    layer = read.pop("layer")
    assert isinstance(layer, nn.Softplus)
    assert layer.beta == 2
    assert read == {
        "sizes": [1, 2],
        "rate": 0.001,
        "kind": "b",
        "network": ResNet,
        "untyped": None,
        "unknown": "3",
    }
    assert read_options(Part, None) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": 3}, r"Part: sizes: 3: is no list\[int\]; set one"),
        ({"sizes": [None]}, r"Part: sizes: \[None\]: is no list\[int\]; set one"),
        ({"rate": None}, "Part: rate: null: is no float; set one"),
        ({"kind": "c"}, r"Part: kind: c: is no Literal\['a', 'b'\]; set one"),
    ],
)
def test_an_option_of_another_type_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_options(Part, options)


def test_an_option_that_is_taken_is_refused() -> None:
    message = "Part: options: rate: 2: is set outside of options; remove it from them"
    with pytest.raises(UserError, match=message):
        read_options(Part, {"rate": 2}, taken=("rate",))


def test_networks_within_others_read_theirs() -> None:
    with pytest.raises(UserError, match="ResNet: width: wide: is no int; set one"):
        CentredNetwork(1, 2, 16, ResNet, {"width": "wide"})
    inner: Any = CentredNetwork(1, 2, 16, ResNet, {"width": "2", "depth": 1}).network
    assert inner.head.in_features == 16
