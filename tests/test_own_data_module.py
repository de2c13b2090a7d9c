"""Runs whose data module is the user's own, and tells the network no sizes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from plasticity_lab.analysis.measure import main as measure
from plasticity_lab.runs.main import main
from tests.runs import fit, state
from tests.test_bad_input import refused


class OwnData(LightningDataModule):
    """A data module as a user may bring it."""

    def __init__(self, batch_size: int = 16) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        inputs = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(inputs, (inputs[:, 0, 0, 0] > 0).long()), self.batch_size)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Means(nn.Module):
    """A network without an argument of its own."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(inputs.mean((2, 3)))
        return outputs


SIZES = {"in_channels": 3, "num_classes": 2}


def own(**sizes: int) -> list[str]:
    """Write a run on such data, with a network of given sizes; return its arguments."""
    config: dict[str, Any] = {
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_model_summary": False},
        "model": {
            "class_path": "lightning_modules.ImageClassifier",
            "init_args": {
                "network": {"class_path": "tests.networks.SmallNet", "init_args": sizes},
                "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
            },
        },
        "data": {"class_path": "tests.test_own_data_module.OwnData"},
    }
    Path("own.yaml").write_text(yaml.safe_dump(config))
    return ["--config", "own.yaml"]


def test_the_saved_config_holds_sizes_that_only_the_user_knows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = fit(*own(**SIZES))
    config = first.place.directory / "config.yaml"
    saved = yaml.safe_load(config.read_text())["model"]["init_args"]["network"]["init_args"]
    assert saved.items() >= SIZES.items()

    # It makes the run again, is the same run to a resume, and finds its network.
    assert state(fit("--config", str(config), "--run_dir", "again")) == state(first)
    resumed = fit("--config", str(config), "--ckpt_path", "last")
    assert resumed.place.directory == first.place.directory
    assert fit(*own(**SIZES), "--ckpt_path", "last").place.directory == first.place.directory
    capsys.readouterr()
    main(["test", "--config", str(config), "--ckpt_path", "last"])
    assert "test/accuracy" in capsys.readouterr().out.splitlines()[-1]


def test_other_sizes_are_another_run() -> None:
    first = fit(*own(**SIZES))
    second = fit(*own(**SIZES | {"num_classes": 3}), "--ckpt_path", "last")
    assert second.place.directory != first.place.directory


def test_a_size_that_nothing_gives(capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        ["fit", *own(in_channels=3)],
        r"SmallNet: num_classes: OwnData has no num_outputs that gives it; set a value",
        capsys,
    )


def test_a_network_that_has_nothing_but_sizes() -> None:
    config = ["--model.init_args.network", "tests.test_own_data_module.Means"]
    directory = fit(*own(**SIZES), *config).place.directory
    saved = yaml.safe_load((directory / "config.yaml").read_text())
    assert saved["model"]["init_args"]["network"]["init_args"] == SIZES


def test_checkpoints_are_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    directory = fit(*own(**SIZES)).place.directory
    Path("mine.yaml").write_text(
        "trainer: {callbacks+: [{class_path: callbacks.Margins, init_args: {every: 1ep}}]}"
    )
    with pytest.raises(SystemExit):
        measure([str(directory / "checkpoints/last.ckpt"), "--config", "mine.yaml"])
    assert "data: OwnData: only datamodules.ImageDataModule tells" in capsys.readouterr().err


def test_predictions_need_examples_with_an_index(capsys: pytest.CaptureFixture[str]) -> None:
    finished = fit(*own(**SIZES))
    last = str(finished.place.directory / "checkpoints/last.ckpt")
    refused(
        ["predict", *own(**SIZES), "--ckpt_path", last],
        r"data: OwnData: predict writes .*; use datamodules.ImageDataModule",
        capsys,
    )
