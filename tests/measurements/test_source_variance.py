"""Source variances against networks whose sources are known."""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.networks import TwoPathNetwork
from plasticity_lab.measurements import (
    half_image_variances,
    join_halves,
    relative_source_variance,
    source_variance,
)


class Mixed(nn.Module):
    """Units a, b, a + b, 2a + b, a·b and a constant, of the means a and b of the two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3))
        units = torch.stack([a, b, a + b, 2 * a + b, a * b, torch.ones_like(a)], 1)
        logits: Tensor = self.head(units)
        return logits


def test_ratios_are_those_of_the_variances_of_the_sources() -> None:
    images = torch.rand(50, 1, 8, 8)
    a, b = images[..., :4].mean((1, 2, 3)), images[..., 4:].mean((1, 2, 3))
    of_a, of_b = a.double().var(correction=0), b.double().var(correction=0)
    found = half_image_variances(Mixed(), images, 3)
    assert found.shape == (3, 6)
    assert torch.equal(found[:, 0], torch.ones(3).double())
    assert torch.equal(found[:, 1], -torch.ones(3).double())
    assert found[:, 5].isnan().all()
    for row in range(3):
        expected = [
            (of_a - of_b) / (of_a + of_b),
            (4 * of_a - of_b) / (4 * of_a + of_b),
            # Of a product, each variance is multiplied by the square of what is held fixed.
            (of_a * b[row] ** 2 - of_b * a[row] ** 2) / (of_a * b[row] ** 2 + of_b * a[row] ** 2),
        ]
        assert torch.allclose(found[row, 2:5], torch.stack(expected).double(), atol=1e-4)


def test_a_pathway_that_is_cut_off_is_followed_by_no_unit() -> None:
    network: Any = TwoPathNetwork(3, 10, 16, options={"width": 2, "depth": 1}).eval()
    with torch.no_grad():
        for part in network.right.layer2[0].children():
            for value in part.parameters():
                value.zero_()
    found = half_image_variances(network, torch.randn(20, 3, 16, 16), 2)
    alive = found[~found.isnan()]
    assert len(alive) > 10
    assert torch.equal(alive, torch.ones_like(alive))


def test_a_variance_is_that_of_all_draws() -> None:
    values = torch.randn(30, 4)
    assert torch.allclose(source_variance(values), values.double().var(0, correction=0))
    assert torch.equal(source_variance(torch.full((9, 1), 0.1)), torch.zeros(1).double())
    assert relative_source_variance(torch.tensor(3.0), torch.tensor(1.0)) == 0.5


def test_halves_are_columns() -> None:
    first, second = torch.zeros(2, 1, 3, 6), torch.ones(2, 1, 3, 6)
    assert join_halves(first, second)[0, 0, 1].tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(join_halves(second, second), second)
