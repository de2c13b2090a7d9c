"""Train the digits run as a plain PyTorch loop.

It checks, independently, the accuracy that `train.py` reaches.

OMP_NUM_THREADS=1 python benchmarks/plain_digits.py
"""

import statistics

import torch
from torch.nn import functional as F

from datamodules import Digits
from lightning_modules.networks import ResNet


def accuracy(seed: int) -> float:
    """Train as configs/digits.yaml says; return the test accuracy in percent."""
    torch.manual_seed(seed)
    train, test = Digits().read("train"), Digits().read("test")
    pixels = train.tensor().float()
    mean, deviation = pixels.mean(), pixels.std()
    images, test_images = (pixels - mean) / deviation, (test.tensor().float() - mean) / deviation
    network = ResNet(1, 10, depth=1, width=8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
    for _ in range(30):
        for batch in torch.split(torch.randperm(len(images)), 128):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), train.targets[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        right = network.eval()(test_images).argmax(1) == test.targets
    return float(right.float().mean()) * 100


if __name__ == "__main__":
    values = [accuracy(seed) for seed in range(5)]
    print(
        f"test accuracy {statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} % over "
        "seeds 0 to 4"
    )
