"""Self-normalized resets, against numbers made with the authors' code."""

import pytest
import torch
from torch import Tensor

from plasticity_lab.surgery import record_silences, update_silences, update_thresholds

MOST = 1000
SILENCES: list[dict[int, int]] = [{100: 90, 200: 8, 300: 2}, {700: 5}, {}, {0: 50}, {50: 10}]


def histogram() -> Tensor:
    counts = torch.zeros(len(SILENCES), MOST + 1, dtype=torch.int64)
    for unit, silences in enumerate(SILENCES):
        for length, count in silences.items():
            counts[unit, length] = count
    return counts


@pytest.mark.parametrize(
    ("percentile", "of_authors"),
    [
        (0.9, [100, 800, 100, 100, 100]),
        (0.95, [200, 800, 100, 100, 100]),
        (0.98, [200, 800, 100, 100, 100]),
        (0.99, [300, 800, 100, 100, 100]),
    ],
)
def test_thresholds_are_those_of_the_authors_where_units_have_been_silent(
    percentile: float, of_authors: list[int]
) -> None:
    thresholds = torch.tensor([400, 400, 600, 400, 400])
    update_thresholds(thresholds, histogram(), percentile, least=100, most=MOST)
    expected = torch.tensor(of_authors)
    # Units that have never been silent for more than a step keep theirs, in place of the least.
    expected[2], expected[3] = 600, 400
    assert thresholds.equal(expected)


def test_a_percentile_of_one_minus_the_rejection_rate_is_the_same() -> None:
    for rate in (0.1, 0.05, 0.02, 0.01):
        first, second = (torch.full((5,), 400) for _ in range(2))
        update_thresholds(first, histogram(), 1 - rate, least=1, most=MOST)
        update_thresholds(second, histogram(), round(1 - rate, 2), least=1, most=MOST)
        assert first.equal(second)


def test_silences_are_those_of_the_authors() -> None:
    ages = torch.tensor([0, 3, 5, 0])
    counts = torch.zeros(4, 20, dtype=torch.int64)
    batches = [
        [[1, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 2, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 1], [1, 0, 0, 0]],
    ]
    expected = [[0, 5, 7, 2], [2, 0, 9, 4], [0, 2, 11, 0]]
    for batch, after in zip(batches, expected, strict=True):
        update_silences(ages, counts, (torch.tensor(batch) > 0).any(0), length=2)
        assert ages.tolist() == after
    recorded = [{int(one) for one in row.nonzero()} for row in counts]
    assert recorded == [{0, 2}, {5}, set(), {4}]


def test_a_silence_beyond_the_longest_counts_as_the_longest() -> None:
    counts = torch.zeros(2, 5, dtype=torch.int64)
    record_silences(torch.tensor([9, 9]), counts, torch.tensor([True, False]))
    assert counts.tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
