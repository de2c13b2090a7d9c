"""Runs with real-valued targets."""

from typing import Any, Literal

import torch

from datamodules import Digits, ExampleDataset
from datamodules.datasets.split import Split, TensorSplit


class Vectors(ExampleDataset):
    """Vectors of eight numbers and two functions of them."""

    def read(self, split: Literal["train", "test"]) -> Split:
        draws = torch.Generator().manual_seed(int(split == "test"))
        inputs = torch.randn(120, 8, generator=draws)
        return TensorSplit(inputs, torch.stack([inputs[:, 0] * inputs[:, 1], inputs[:, 2]], 1))


class DoubleVectors(Vectors):
    """The same in double precision, as NumPy makes them."""

    def read(self, split: Literal["train", "test"]) -> Split:
        vectors = super().read(split)
        return TensorSplit(vectors.tensor().double(), vectors.targets)


class MeanGrey(Digits):
    """Digits whose target is their mean grey level, from 0 to 10."""

    def read(self, split: Literal["train", "test"]) -> Split:
        images = super().read(split).tensor()
        return TensorSplit(images, images.float().mean((1, 2, 3)) / 25.5)


def regression(dataset: str = "MeanGrey", **arguments: Any) -> dict[str, Any]:
    """Return a config fragment that makes the tiny run one of real-valued targets."""
    network = {"class_path": "tests.networks.SmallNet"}
    if dataset.endswith("Vectors"):
        path = "lightning_modules.networks.MLP"
        network = {"class_path": path, "init_args": {"widths": [8]}}  # type: ignore[dict-item]
    data = {"class_path": f"tests.regressions.{dataset}", "init_args": {"subset": 100}}
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9}}
    return {
        "model": {
            "class_path": "lightning_modules.Supervised",
            "init_args": {
                "objective": {"class_path": "lightning_modules.Regression"},
                "network": network,
                "optimizer": optimizer,
                **arguments,
            },
        },
        "data": {"init_args": {"dataset": data}},
    }
