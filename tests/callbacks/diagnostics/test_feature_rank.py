"""Ranks of features."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from callbacks.diagnostics.feature_rank import FeatureRank
from plasticity_lab.measurements.feature_rank import effective_rank, srank, stable_rank
from plasticity_lab.measurements.features import last_features
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, end, last, run


def matrix(values: list[float], rows: int = 9, columns: int = 6) -> Tensor:
    """Return a matrix with these singular values."""
    stream = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(size, size, generator=stream, dtype=torch.float64) for size in (rows, columns)
    )
    count = len(values)
    matrix: Tensor = (
        torch.linalg.qr(left)[0][:, :count]
        * torch.tensor(values, dtype=torch.float64)
        @ torch.linalg.qr(right)[0][:, :count].T
    )
    return matrix


def test_equal_singular_values_have_every_rank() -> None:
    for rank in (1, 3, 6):
        features = matrix([2.0] * rank)
        assert effective_rank(features) == pytest.approx(rank, rel=1e-9)
        assert stable_rank(features) == pytest.approx(rank, rel=1e-12)
        assert srank(features) == rank


def test_ranks_are_those_of_the_definitions() -> None:
    values = [3.0, 1.0, 0.5, 0.02]
    features = matrix(values)
    shares = np.array(values) / sum(values)
    assert effective_rank(features) == pytest.approx(np.exp(stats.entropy(shares)), rel=1e-9)
    assert stable_rank(features) == pytest.approx(sum(value**2 for value in values) / 9, rel=1e-12)
    assert [srank(features, delta) for delta in (0.7, 0.3, 0.01, 0.004, 0)] == [1, 2, 3, 4, 4]


def test_the_first_of_few_values_is_enough() -> None:
    assert srank(torch.diag(torch.tensor([1, 0.005, 0.005], dtype=torch.float64))) == 1
    assert srank(torch.diag(torch.tensor([1, 0.006, 0.005], dtype=torch.float64))) == 2


def test_features_are_not_centred_and_zeros_have_rank_0() -> None:
    assert srank(torch.ones(4, 3)) == 1
    assert effective_rank(torch.ones(4, 3)) == pytest.approx(1)
    assert (
        effective_rank(torch.zeros(4, 3)),
        stable_rank(torch.zeros(4, 3)),
        srank(torch.zeros(4, 3)),
    ) == (0, 0, 0)


def test_a_run_logs_the_ranks_of_its_last_features() -> None:
    cli, values = run("feature_rank.FeatureRank")
    network, examples = end(cli)
    features = last_features(network, examples.inputs)
    assert features.shape == (100, 4)
    expected = {
        "effective_rank": effective_rank(features),
        "stable_rank": stable_rank(features),
        "srank": srank(features),
    }
    assert last(values) == expected
    check_invisible(cli, FeatureRank(Time("1ep")))
