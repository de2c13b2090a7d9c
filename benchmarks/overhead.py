"""What Lightning and logging cost over a bare training loop.

    OMP_NUM_THREADS=1 python benchmarks/overhead.py [--accelerator gpu] [--pairs N] [--json FILE]

Bare loop and `train.py` take turns in one process, on random images, so that ratios hold on a
shared machine. The bare loop holds the data as a tensor and does what a step needs and nothing
else; `train.py` adds augmentation (where the bare loop is not said to augment), metrics, callbacks,
checkpoints and TensorBoard. Neither validates.
"""

import argparse
import contextlib
import io
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules import CropFlip, ImageDataset
from datamodules.datasets.split import Split, TensorSplit
from lightning_modules.networks import Linear, ResNet
from plasticity_lab.randomness import generator
from plasticity_lab.runs.main import main

BATCH = 128


class RandomImages(ImageDataset):
    """Random images of CIFAR-10's shape.

    Args:
        count: training examples; one batch of test examples is added.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def read(self, split: Literal["train", "test"]) -> Split:
        """Return the whole train or test split."""
        count = self.count if split == "train" else BATCH
        pixels = torch.randint(
            0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator(0, split)
        )
        return TensorSplit(pixels, torch.arange(count) % 10, [str(label) for label in range(10)])


def bare(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    precision: str,
    augment: bool,
    device: str,
) -> float:
    """Train without Lightning; return seconds."""
    network.to(device).to(memory_format=torch.channels_last)
    images, labels, mean = (
        images.to(device),
        labels.to(device),
        torch.full((3,), 120.0, device=device),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    started = time.perf_counter()
    for _ in range(epochs):
        for index in torch.split(torch.randperm(len(images)), BATCH):
            batch = (
                CropFlip()(images[index], mean, generator(0, "augment"))
                if augment
                else images[index]
            )
            pixels = ((batch - 120.0) * 0.015).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = F.cross_entropy(network(pixels), labels[index])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    wait(device)
    return time.perf_counter() - started


def wait(device: str) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


class Stopwatch(Callback):
    """Times training from its start to its end."""

    seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        wait(pl_module.device.type)
        self.started = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        wait(pl_module.device.type)
        self.seconds = time.perf_counter() - self.started


def lightning(
    network: dict[str, Any],
    count: int,
    epochs: int,
    precision: str,
    device: str,
    deterministic: bool = False,
) -> float:
    """Train through `train.py fit`; return seconds."""
    config: dict[str, Any] = {
        "trainer": {
            "max_epochs": epochs,
            "limit_val_batches": 0,
            "accelerator": {"cuda": "gpu"}.get(device, device),
            "deterministic": deterministic,
            "precision": precision,
            "enable_model_summary": False,
            "callbacks+": [{"class_path": f"{__name__}.Stopwatch"}],
        },
        "model": {
            "class_path": "lightning_modules.ImageClassifier",
            "init_args": {
                "network": network,
                "optimizer": {
                    "class_path": "torch.optim.SGD",
                    "init_args": {"lr": 0.01, "momentum": 0.9},
                },
            },
        },
        "data": {
            "class_path": "datamodules.ImageDataModule",
            "init_args": {
                "dataset": {
                    "class_path": f"{__name__}.RandomImages",
                    "init_args": {"count": count},
                },
                "augmentation": {"class_path": "datamodules.CropFlip"},
                "batch_size": BATCH,
            },
        },
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        file = Path(folder) / "run.yaml"
        file.write_text(yaml.safe_dump(config))
        finished = main(["fit", "--config", str(file), "--run_dir", f"{folder}/run"])
        callbacks: list[Callback] = finished.trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
        watch: Any = next(one for one in callbacks if type(one).__name__ == "Stopwatch")
        return float(watch.seconds)


def compare(
    network: dict[str, Any],
    kind: type[nn.Module],
    batches: int,
    epochs: int,
    precision: str,
    augment: bool,
    device: str,
    repeats: int,
) -> tuple[float, float]:
    """Return the median seconds an epoch takes bare and through train.py, taking turns."""
    images = RandomImages(batches * BATCH).read("train")
    pairs = []
    for _ in range(repeats):
        model = kind(
            3, 10, **network.get("init_args", {}), **({"image_size": 32} if kind is Linear else {})
        )
        pairs.append(
            (
                bare(model, images.tensor(), images.targets, epochs, precision, augment, device),
                lightning(network, batches * BATCH, epochs, precision, device),
            )
        )
    alone, through = (statistics.median(column) / epochs for column in zip(*pairs, strict=True))
    return alone, through


def determinism(
    network: dict[str, Any], batches: int, precision: str, device: str, repeats: int
) -> float:
    """Return the speed with deterministic kernels relative to that without, in turns.

    Both are trained through train.py.
    """
    pairs = [
        [lightning(network, batches * BATCH, 2, precision, device, on) for on in (False, True)]
        for _ in range(repeats)
    ]
    free, fixed = (float(statistics.median(column)) for column in zip(*pairs, strict=True))
    return free / fixed


def measure(device: str, repeats: int) -> dict[str, Any]:
    """Run every comparison."""
    linear = {"class_path": "lightning_modules.networks.Linear"}
    results: dict[str, Any] = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "pairs": repeats,
    }
    results["machine"] = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    batches = 64 if device == "cuda" else 8
    for width, precision in (
        ((16, "bf16-mixed"), (64, "bf16-mixed"))
        if device == "cuda"
        else ((16, "32-true"), (16, "bf16-mixed"))
    ):
        resnet = {"class_path": "lightning_modules.networks.ResNet", "init_args": {"width": width}}
        alone, through = compare(resnet, ResNet, batches, 2, precision, False, device, repeats)
        label = f"ResNet width {width}, {precision}"
        results[f"{label}: speed relative to the bare loop without augmentation"] = round(
            alone / through, 3
        )
        if device == "cuda":
            results[f"{label}: images a second through train.py"] = round(batches * BATCH / through)
            speed = determinism(resnet, batches, precision, device, repeats)
            results[f"{label}: speed with deterministic kernels relative to without"] = round(
                speed, 3
            )
    short, long = (
        compare(linear, Linear, count, 10, "32-true", True, device, repeats) for count in (8, 208)
    )
    results["microseconds a step over the bare loop with augmentation (linear network)"] = round(
        ((long[1] - long[0]) - (short[1] - short[0])) / 200 * 1e6
    )
    results["milliseconds an epoch of 8 batches over the bare loop with augmentation"] = round(
        (short[1] - short[0]) * 1e3, 1
    )
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--accelerator", choices=("cpu", "gpu"), default="cpu", help="what to train on"
    )
    parser.add_argument("--pairs", type=int, default=5, help="turns of which the median is taken")
    parser.add_argument("--json", type=Path, help="where to write the results")
    chosen = parser.parse_args()
    report = json.dumps(
        measure("cuda" if chosen.accelerator == "gpu" else "cpu", chosen.pairs), indent=1
    )
    print(report)
    if chosen.json:
        chosen.json.write_text(report + "\n")
