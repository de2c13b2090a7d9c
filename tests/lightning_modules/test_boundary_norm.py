"""A normalisation with fixed statistics against numbers of the authors' code."""

from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.networks import VGG, BoundaryNormNetwork, ResNet, ViT
from lightning_modules.networks.adapters import build_inner
from plasticity_lab.surgery import FixedNorm


def test_gives_the_numbers_of_the_authors_code() -> None:
    norm, inputs = FixedNorm(2), torch.arange(16.0).view(2, 2, 2, 2)
    assert torch.equal(norm(inputs), inputs), "is the identity at first"
    norm.measure(inputs)
    torch.testing.assert_close(norm.mean, torch.tensor([5.5, 9.5]))
    torch.testing.assert_close(norm.deviation, torch.full((2,), 4.4400773))
    first = torch.tensor([-1.2387172, -1.0134959, -0.7882746, -0.5630531])
    torch.testing.assert_close(norm(inputs).flatten()[:4], first)
    # The statistics stay those of the first batch.
    ones = norm(torch.ones(1, 2, 1, 1)).flatten()
    torch.testing.assert_close(ones, torch.tensor([-1.0134959, -1.914381]))


def test_a_dead_channel_stays_zero_and_may_revive() -> None:
    norm, inputs = FixedNorm(2), torch.zeros(4, 2, 3, 3)
    norm.measure(inputs)
    assert not norm(inputs).any()
    revived = torch.randn(4, 2, 3, 3)
    assert torch.equal(norm(revived), revived)


def test_tokens_have_their_channels_last() -> None:
    norm, tokens = FixedNorm(6), torch.randn(4, 5, 6)
    norm.measure(tokens)
    made = norm(tokens).flatten(0, 1)
    torch.testing.assert_close(made.mean(0), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(made.std(0), torch.ones(6))


SIZES: dict[str, Any] = {"in_channels": 3, "num_classes": 5, "image_size": 32}
KINDS: list[tuple[type[nn.Module], dict[str, Any]]] = [
    (ResNet, {"width": 2, "depth": 1}),
    (VGG, {"depth": 11, "width": 0.04}),
    (ViT, {"patch": 8, "depth": 1, "width": 12, "heads": 2}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_network_stays_what_it_is_until_a_norm_is_measured(
    kind: type[nn.Module], options: dict[str, Any]
) -> None:
    images = torch.randn(2, 3, 32, 32)
    torch.manual_seed(0)
    plain: Any = build_inner(kind, options, **SIZES)
    torch.manual_seed(0)
    network = BoundaryNormNetwork(**SIZES, network=kind, options=options)
    assert torch.equal(network.eval()(images), plain.eval()(images))
    assert [name.removeprefix("network.") for name in network.blocks] == list(plain.blocks)
