"""Sizes of networks, and which channels slimming keeps."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from lightning_modules.networks import VGG, AllCNN, CifarResNet, ResNet
from plasticity_lab.analysis import flops, slimming
from tests.runs import TINY


def config(name: str, widths: list[int]) -> str:
    network = {
        "class_path": "lightning_modules.networks.MLP",
        "init_args": {"widths": widths, "norm": "none"},
    }
    model: dict[str, Any] = {**TINY["model"]}
    model["init_args"] = {**model["init_args"], "network": network}
    Path(name).write_text(yaml.safe_dump({**TINY, "model": model}))
    return name


def test_a_smaller_network_is_trained_for_longer_at_the_same_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert flops.main([config("whole.yaml", [40]), config("small.yaml", [10])]) == 0
    _, whole, small, _ = capsys.readouterr().out.splitlines()
    # Images of 16 x 16 pixels and ten classes, one ReLU a unit, three epochs.
    assert whole.split() == ["10,690", f"{2 * 40 * 266 + 40:,}", "1.000", "3", "whole.yaml"]
    assert small.split() == ["2,680", f"{2 * 10 * 266 + 10:,}", "4.000", "12", "small.yaml"]


def test_a_larger_network_is_trained_for_an_epoch_at_least(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Ten times the operations, of three epochs.
    assert flops.main([config("small.yaml", [4]), config("large.yaml", [40])]) == 0
    _, _, large, _ = capsys.readouterr().out.splitlines()
    assert large.split()[-3:] == ["0.100", "1", "large.yaml"]


class Uncounted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10] + self.bias


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (None, "none.yaml"),
        (
            {"class_path": f"{__name__}.Uncounted"},
            "flops: error: none.yaml: no operation of Uncounted is counted; compare networks of",
        ),
    ],
)
def test_what_cannot_be_counted_is_one_line(
    network: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if network:
        model = {**TINY["model"], "init_args": {**TINY["model"]["init_args"], "network": network}}
        Path("none.yaml").write_text(yaml.safe_dump({**TINY, "model": model}))
    with pytest.raises(SystemExit, match="2"):
        flops.main(["none.yaml"])
    assert message in capsys.readouterr().err


def test_slimming_says_how_many_channels_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    state = {}
    for name, gains in {"a": [0.1, -0.5, 0.3, 0.2], "b": [0.05, 0.9, 0.4, 0.25]}.items():
        state[f"network.{name}.weight"] = torch.tensor(gains)
        state[f"network.{name}.running_var"] = torch.ones(4)
    state["network.c.weight"] = torch.ones(3, 3)
    torch.save({"state_dict": state, "global_step": 0, "loops": {}}, "run.ckpt")
    assert slimming.main(["run.ckpt", "--share", "0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["1", "of", "4", "a"]
    assert lines[1].split()[:4] == ["2", "of", "4", "b"]
    assert len(lines) == 2, "no network of this project takes them"


@pytest.mark.parametrize(
    ("network", "argument"),
    [
        (VGG(1, 2, 16, 11, 1 / 16), "channels, with width 1: [2, 4, 8, 8, 16, 16, 16, 16]"),
        (CifarResNet(1, 2, 8, 4), "inner: [2, 4, 8]"),
        (CifarResNet(1, 2, 8, 4, "projection", inner=[8, 6, 2]), "inner: [4, 3, 1]"),
        (AllCNN(1, 2, 1 / 96), "8.norm  (smallest gain 1)"),
        (ResNet(1, 2, width=2, depth=1), "layer4.0.shortcut.1  (smallest gain 1)"),
    ],
)
def test_slimming_says_what_the_smaller_network_takes(
    network: nn.Module, argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of each layer, half of the channels have larger gains than all the rest.
    state = {f"network.{name}": value.clone() for name, value in network.state_dict().items()}
    for name, value in state.items():
        if f"{name.removesuffix('.weight')}.running_var" in state and name.endswith("weight"):
            value[: len(value) // 2] += 1
    torch.save({"state_dict": state, "global_step": 0, "loops": {}}, "run.ckpt")
    assert slimming.main(["run.ckpt", "--share", "0.4"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(argument)


@pytest.mark.parametrize(
    ("state", "share", "message"),
    [
        ({"network.c.weight": torch.ones(3, 3)}, "0.5", "holds no batch norm with gains"),
        ({"n.weight": torch.ones(2), "n.running_var": torch.ones(2)}, "1", "share: 1.0: set a"),
    ],
)
def test_what_cannot_be_slimmed_is_one_line(
    state: dict[str, Any], share: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": state, "global_step": 0, "loops": {}}, "run.ckpt")
    with pytest.raises(SystemExit, match="2"):
        slimming.main(["run.ckpt", "--share", share])
    assert message in capsys.readouterr().err
