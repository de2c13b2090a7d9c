"""What it costs to turn a batch of pixels into what the network sees.

    OMP_NUM_THREADS=1 python benchmarks/pipeline.py [--json FILE]

Everything takes turns in one process, on random images of CIFAR-10's shape, so that ratios hold on
a shared machine.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from datamodules import CropFlip
from datamodules.transforms.blur import blur
from lightning_modules.networks import ResNet
from plasticity_lab.randomness import generator

BATCH, ROUNDS = 128, 15
IMAGES = torch.randint(
    0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8, generator=generator(0, "images")
)
LABELS = torch.arange(BATCH) % 10


def normalised(images: Tensor) -> Tensor:
    """Normalise the batch."""
    return (images - 120.0) * 0.015


def augmented(images: Tensor) -> Tensor:
    """Crop, flip and normalise the batch."""
    return normalised(CropFlip()(images, torch.full((3,), 120.0), generator(0, "augment")))


def blurred(images: Tensor) -> Tensor:
    """Blur, crop, flip and normalise the batch."""
    return augmented(blur(images, 8))


def interpolated(images: Tensor) -> Tensor:
    """Blur as torch does."""
    small = F.interpolate(images.float(), (8, 8), mode="bilinear", antialias=True)
    return F.interpolate(small, (32, 32), mode="bilinear")


def pil(images: Tensor) -> Tensor:
    """Crop, flip and normalise one by one with Pillow, as scripts do."""
    rng, results = np.random.default_rng(0), []
    for image in images.permute(0, 2, 3, 1).numpy():
        canvas = Image.new("RGB", (40, 40))
        canvas.paste(Image.fromarray(image), (4, 4))
        left, top = rng.integers(0, 9, 2)
        picture = canvas.crop((left, top, left + 32, top + 32))
        if rng.integers(2):
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        results.append(
            (torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255 - 0.47) / 0.25
        )
    return torch.stack(results)


def step(precision: torch.dtype) -> Callable[[Tensor], None]:
    """Return a training step of a ResNet of width 16 on normalised images."""
    network = ResNet(3, 10, width=16).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    pixels = normalised(IMAGES).contiguous(memory_format=torch.channels_last)

    def train(_: Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
            loss = F.cross_entropy(network(pixels), LABELS)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return train


def seconds(work: Callable[[Tensor], Any]) -> float:
    """Time one batch, repeated for a fifth of a second."""
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < 0.2:
        work(IMAGES)
        rounds += 1
    return (time.perf_counter() - started) / rounds


def measure() -> dict[str, Any]:
    """Let everything take turns; return medians over the rounds."""
    works: dict[str, Callable[[Tensor], Any]] = {
        "augmented": augmented,
        "blurred": blurred,
        "blur": lambda images: blur(images, 8),
        "interpolated": interpolated,
        "pil": pil,
        "fp32": step(torch.float32),
        "bf16": step(torch.bfloat16),
    }
    for work in works.values():
        work(IMAGES)
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(ROUNDS)]

    def ratio(one: str, other: str) -> float:
        return statistics.median(took[one] / took[other] for took in rounds)

    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "images a second: crop, flip, normalise": round(
            BATCH / statistics.median(took["augmented"] for took in rounds)
        ),
        "crop, flip, normalise: speed relative to Pillow": round(ratio("pil", "augmented"), 1),
        "blur: time relative to torch's antialiased interpolation": round(
            ratio("blur", "interpolated"), 2
        ),
        **{
            f"{what}: percent of a step of ResNet width 16, {precision}": round(
                100 * ratio(name, precision), 2
            )
            for what, name in (
                ("crop, flip, normalise", "augmented"),
                ("blur, crop, flip, normalise", "blurred"),
            )
            for precision in ("fp32", "bf16")
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, help="where to write the results")
    chosen = parser.parse_args()
    report = json.dumps(measure(), indent=1)
    print(report)
    if chosen.json:
        chosen.json.write_text(report + "\n")
