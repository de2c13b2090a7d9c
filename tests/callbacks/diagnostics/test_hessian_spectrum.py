"""How the spectrum is drawn."""

import numpy as np
import pytest
import torch

from plasticity_lab.measurements.lanczos_quadrature import POINTS, Nodes, smoothed_density


@pytest.mark.parametrize("scale", [0.1, 300], ids=["narrow", "wide"])
def test_the_density_is_that_of_the_authors_rule(scale: float) -> None:
    draws = torch.Generator().manual_seed(0)
    values = (torch.randn(3, 8, generator=draws, dtype=torch.float64) * scale).sort().values
    weights = torch.rand(3, 8, generator=draws, dtype=torch.float64)
    nodes = Nodes(values, weights / weights.sum(1, keepdim=True))
    points, shares = smoothed_density(nodes)

    low, high = (
        float(end)
        for end in (values.min(1).values.mean() - 0.01, values.max(1).values.mean() + 0.01)
    )
    grid, variance = np.linspace(low, high, POINTS), 1e-5 * max(1, high - low)
    expected = np.zeros(POINTS)
    for value, weight in zip(
        values.flatten().tolist(), nodes.weights.flatten().tolist(), strict=True
    ):
        expected += (
            weight
            * np.exp(-((grid - value) ** 2) / (2 * variance))
            / np.sqrt(2 * np.pi * variance)
            / 3
        )
    assert (variance > 1e-5) is (scale > 1)
    places = np.searchsorted(points.numpy(), grid - 1e-9 * (high - low))
    assert np.allclose(points.numpy()[places], grid, rtol=1e-9)
    assert np.allclose(shares.numpy()[places], expected, rtol=1e-6, atol=1e-9)
    assert set(values.flatten().tolist()) <= set(points.tolist()), "peaks are drawn at their height"


def test_eigenvalues_near_one_another_stay_apart_where_the_range_is_wide() -> None:
    nodes = Nodes(
        torch.tensor([[0.0, 995, 1000]], dtype=torch.float64),
        torch.full((1, 3), 1 / 3, dtype=torch.float64),
    )
    points, shares = smoothed_density(nodes)
    between = shares[(points - 997.5).abs() < 1]
    assert between.max() < 1e-6 * shares.max()
