"""Operations of forward passes, against numbers of Liu et al. 2019's code."""

import pytest
import torch
from torch import nn

from lightning_modules.networks import VGG, CifarResNet
from plasticity_lab.measurements import count_flops

IMAGE = torch.zeros(1, 3, 32, 32)
WIDTHS = (16, 32, 64)


def pruned(rates: tuple[float, ...], skipped: set[int]) -> list[int]:
    """Return the channels within the blocks of ResNet-56 (Li et al. 2017): convolutions 2, 4, …"""
    return [
        width if 18 * stage + 2 * block + 2 in skipped else int(width * (1 - rate))
        for stage, (width, rate) in enumerate(zip(WIDTHS, rates, strict=True))
        for block in range(9)
    ]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("inner", "size", "epochs"),
    [
        (pruned((0.1, 0.1, 0.1), {16, 20, 38, 54}), 773_336, 178),
        (pruned((0.6, 0.3, 0.1), {16, 18, 20, 34, 38, 54}), 735_712, 220),
    ],
)
def test_resnet_56_is_pruned_to_the_sizes_and_budgets_of_the_paper(
    inner: list[int], size: int, epochs: int
) -> None:
    whole, small = CifarResNet(3, 10, depth=56), CifarResNet(3, 10, depth=56, inner=inner)
    assert (parameters(whole), parameters(small)) == (853_018, size)
    assert int(160 * count_flops(whole, IMAGE) / count_flops(small, IMAGE)) == epochs


def test_vgg_16_is_pruned_to_the_size_and_budget_of_the_paper() -> None:
    channels = [32, 64, 128, 128, *[256] * 9]
    whole, small = VGG(3, 10, 32), VGG(3, 10, 32, channels=channels)
    # The paper's has a hidden linear layer of 512 units with batch norm before its head.
    hidden = [units * 512 + 512 + 1024 + 512 * 10 - units * 10 for units in (512, 256)]
    sizes = [parameters(network) for network in (whole, small)]
    assert [size + more for size, more in zip(sizes, hidden, strict=True)] == [
        14_987_722,
        5_397_034,
    ]
    ratio = count_flops(whole, IMAGE) / count_flops(small, IMAGE)
    assert ratio == pytest.approx(1.519, abs=0.001)
    assert int(160 * ratio) in (242, 243)


def test_what_is_counted() -> None:
    norm = nn.BatchNorm2d(4)
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2))
    maps = 4 * 6 * 6
    expected = 2 * 9 * 2 * maps + 2 * maps + maps + maps
    assert count_flops(network, torch.zeros(1, 2, 6, 6)) == expected
    assert count_flops(network, torch.zeros(5, 2, 6, 6)) == 5 * expected
    assert network.training
    assert norm.num_batches_tracked == 0
