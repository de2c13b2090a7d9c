"""Units that begin anew."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.networks import MLP, VGG, ConvN, ResNet, ViT
from plasticity_lab.surgery import (
    FixedNorm,
    construct,
    init_parameters,
    outgoing,
    redraw,
    reset_units,
    select_units,
)
from plasticity_lab.surgery.activation_functions import ACTIVATIONS
from tests.network_table import TinyVisionTransformer
from tests.networks import SmallNet

IMAGES = torch.randn(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def key(name: str) -> tuple[Any, ...]:
    return 0, "recycle", 1, name


def moment_key(moment: int, name: str) -> tuple[Any, ...]:
    return 0, "recycle", moment, name


class _Silencer(torch.overrides.TorchFunctionMode):
    """Sets some channels of the outputs of activations to 0."""

    def __init__(self, silenced: dict[int, list[tuple[int, Tensor]]]) -> None:
        super().__init__()
        self.silenced, self.number = silenced, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in ACTIVATIONS:
            for dim, channels in self.silenced.get(self.number, []):
                result = result.clone()
                result.movedim(dim, 0)[channels] = 0
            self.number += 1
        return result


def trained(network: nn.Module, steps: int = 3) -> torch.optim.Optimizer:
    """Train a little, so that nothing is as it was drawn, statistics and moments included."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(steps):
        optimizer.zero_grad()
        labels = (torch.arange(len(IMAGES)) + step) % 10
        F.cross_entropy(network(IMAGES), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return optimizer


NETWORKS: dict[str, Any] = {
    "linear, batch norm": lambda: construct(MLP, 1, 10, 16, [8, 6]),
    "CReLU": lambda: construct(VGG, 1, 10, 16, depth=11, width=0.04, activation="crelu"),
    "convolution, batch norm": lambda: construct(SmallNet, 1, 10),
    "flattened convolution": lambda: construct(ConvN, 1, 10, 16, depth=2),
    "residual": lambda: construct(ResNet, 1, 10, depth=1, width=2),
    "residual, norm first": lambda: construct(ResNet, 1, 10, depth=1, width=2, block="pre"),
    "attention": lambda: construct(ViT, 1, 10, 16, patch=8, depth=2, width=12, heads=2),
    "torchvision's attention": lambda: construct(TinyVisionTransformer, 10, 16),
    "groups": lambda: construct(
        nn.Sequential,
        *(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.Conv2d(6, 6, 3, groups=6), nn.Hardswish()),
        *(nn.Conv2d(6, 4, 3, groups=2), nn.ReLU(), nn.MaxPool2d(5)),
        *(nn.Flatten(), nn.Linear(16, 10)),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_function_changes_by_what_the_units_contributed_alone(name: str) -> None:
    network = NETWORKS[name]()
    init_parameters(network, 0)
    trained(network)
    network.eval()
    units = select_units(network, IMAGES[:1])
    chosen: dict[str, Tensor] = {}
    silenced: dict[int, list[tuple[int, Tensor]]] = {}
    for layer, known in units.items():
        chosen[layer] = torch.arange(known.count) % 3 == 1
        for number, site in known.activations.items():
            channels = site.channels[chosen[layer]].flatten()
            silenced.setdefault(number, []).append((site.dim, channels))
    with torch.no_grad():
        before = network(IMAGES)
        with _Silencer(silenced):
            expected = network(IMAGES)

    count = reset_units(network, units, chosen, key)
    assert count == sum(int(marks.sum()) for marks in chosen.values()) > 0
    after = network(IMAGES)
    assert torch.allclose(after, expected, atol=1e-6)
    assert not torch.allclose(before, expected, atol=1e-6)


def test_each_part_goes_where_it_should() -> None:
    network = construct(SmallNet, 1, 10)
    init_parameters(network, 0)
    optimizer = trained(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = list(network.parameters())
    units = select_units(network, IMAGES[:1])
    marks = torch.tensor([False, True, False, True])
    assert reset_units(network, units, {"conv": marks}, key, [optimizer]) == 2

    fresh = redraw(network, ["conv"], key)
    kept = ~marks
    assert network.conv.weight[marks].equal(fresh["conv.weight"][marks])
    assert network.conv.bias is not None
    assert network.conv.bias[marks].equal(fresh["conv.bias"][marks])
    for name, anew in {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}.items():
        now = getattr(network.norm, name)
        assert (now[marks] == anew).all(), name
        assert now[kept].equal(before[f"norm.{name}"][kept]), name
    assert (network.head.weight[:, marks] == 0).all()
    assert network.head.weight[:, kept].equal(before["head.weight"][:, kept])
    assert network.conv.weight[kept].equal(before["conv.weight"][kept])
    assert network.head.bias.equal(before["head.bias"])
    assert network.norm.num_batches_tracked == before["norm.num_batches_tracked"]
    assert all(one is other for one, other in zip(parameters, network.parameters(), strict=True))

    # Moments at these positions alone; step counts are for whole parameters.
    for moment in ("exp_avg", "exp_avg_sq"):
        state = {name: optimizer.state[one] for name, one in network.named_parameters()}
        assert (state["conv.weight"][moment][marks] == 0).all()
        assert (state["conv.weight"][moment][kept] != 0).any()
        assert (state["head.weight"][moment][:, marks] == 0).all()
        assert (state["head.weight"][moment][:, kept] != 0).any()
        assert (state["norm.weight"][moment][marks] == 0).all()
        assert (state["head.bias"][moment] != 0).any()
    assert {float(one["step"]) for one in optimizer.state.values()} == {3.0}


def test_options_of_bias_and_step_counts() -> None:
    network = construct(SmallNet, 1, 10)
    init_parameters(network, 0)
    optimizer = trained(network)
    units = select_units(network, IMAGES[:1])
    marks = torch.tensor([True, False, False, False])
    reset_units(network, units, {"conv": marks}, key, [optimizer], bias="zero", step_counts=True)
    assert network.conv.bias is not None
    assert network.conv.bias[0] == 0
    steps = {name: float(optimizer.state[one]["step"]) for name, one in network.named_parameters()}
    assert steps == {
        **dict.fromkeys(["conv.weight", "conv.bias", "norm.weight", "norm.bias"], 0),
        "head.weight": 0,
        "head.bias": 3,
    }


def test_a_draw_is_new_at_each_moment_and_that_of_its_key() -> None:
    rows = []
    for moment in (1, 2, 1):
        network = construct(SmallNet, 1, 10)
        init_parameters(network, 0)
        units = select_units(network, IMAGES[:1])
        marks = {"conv": torch.tensor([True, False, False, False])}
        reset_units(network, units, marks, partial(moment_key, moment))
        rows.append(network.conv.weight[0].clone())
    assert not rows[0].equal(rows[1])
    assert rows[0].equal(rows[2])


def test_a_unit_that_feeds_another_that_is_reset_is_cut_off() -> None:
    network = construct(MLP, 1, 10, 16, [8, 6], norm="none")
    init_parameters(network, 0)
    units = select_units(network, IMAGES[:1])
    chosen = {
        "hidden2.linear": torch.arange(6) == 4,
        "hidden1.linear": torch.arange(8) == 2,
    }
    reset_units(network, units, chosen, key)
    weight = network.get_parameter("hidden2.linear.weight")
    assert (weight[:, 2] == 0).all()
    assert (weight[4, torch.arange(8) != 2] != 0).all()


def test_nothing_chosen_is_nothing_drawn() -> None:
    network = nn.Sequential(nn.Linear(256, 4), nn.ReLU(), nn.Linear(4, 2))
    units = select_units(network, torch.zeros(1, 256))
    # It could not be drawn again, as it was made by hand.
    assert reset_units(network, units, {"0": torch.zeros(4, dtype=torch.bool)}, key) == 0


def test_outgoing_weights_of_groups() -> None:
    layer = nn.Conv2d(6, 4, 3, groups=2)
    mask = outgoing(layer, torch.tensor([1, 5]))
    expected = torch.zeros(4, 3, dtype=torch.bool)
    expected[:2, 1] = True
    expected[2:, 2] = True
    assert mask.equal(expected[:, :, None, None].expand(4, 3, 3, 3))


def test_factors_of_rows_and_columns_are_kept() -> None:
    network = construct(SmallNet, 1, 10)
    init_parameters(network, 0)
    optimizer = torch.optim.Adafactor(network.parameters(), lr=0.01)
    F.cross_entropy(network(IMAGES), torch.arange(5)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()  # type: ignore[no-untyped-call]
    rows = optimizer.state[network.head.weight]["row_var"].clone()
    units = select_units(network, IMAGES[:1])
    marks = {"conv": torch.tensor([True, False, False, False])}
    reset_units(network, units, marks, key, [optimizer])
    assert optimizer.state[network.head.weight]["row_var"].equal(rows)


def test_fixed_statistics_of_units_that_begin_anew_are_those_of_a_new_layer() -> None:
    parts = nn.Linear(3, 4), nn.ReLU(), FixedNorm(4), nn.Linear(4, 2)
    network: Any = construct(nn.Sequential, *parts)
    init_parameters(network, 0)
    norm: FixedNorm = network[2]
    norm.measure(torch.rand(10, 4))
    units = select_units(network, torch.zeros(1, 3))
    reset_units(network, units, {"0": torch.tensor([True, False, False, False])}, key)
    assert (norm.mean[0].item(), norm.deviation[0].item()) == (0, 1)
    assert norm.mean[1:].all()
