"""Tests, intervals and power, against scipy and by hand."""

from itertools import product
from math import log
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from plasticity_lab.studies.statistics import (
    equivalence_power,
    equivalence_test,
    holm,
    interval,
    power,
    seeds_needed,
    sign_flip_test,
    smallest_effect,
    smallest_margin,
    t_test,
)

PAIRS = ([5.0, 7.0, 6.5, 4.2], [4.0, 5.0, 6.0, 4.4])
VALUES = [arm - control for arm, control in zip(*PAIRS, strict=True)]


def test_an_interval_is_students() -> None:
    expected = stats.ttest_rel(*PAIRS).confidence_interval(0.95)
    assert interval(VALUES) == pytest.approx((np.mean(VALUES), expected.low, expected.high))
    assert interval(VALUES, 0.9)[1:] == pytest.approx(
        tuple(stats.ttest_rel(*PAIRS).confidence_interval(0.9))
    )
    assert interval([1.0]) == (1.0, float("-inf"), float("inf"))
    assert interval([])[1:] == (float("-inf"), float("inf"))


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_t_is_scipys(alternative: Literal["two-sided", "greater"]) -> None:
    expected = stats.ttest_rel(*PAIRS, alternative=alternative).pvalue
    assert t_test(VALUES, alternative) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("count", [2, 6, 24])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_without_any_spread_t_is_that_of_flipped_signs(
    value: float, count: int, alternative: Any
) -> None:
    two_sided, one_sided = 1.0 if value == 0 else 2 * 0.5**count, 0.5**count if value > 0 else 1.0
    expected = two_sided if alternative == "two-sided" else one_sided
    assert t_test([value] * count, alternative) == expected
    if count <= 6:
        assert sign_flip_test([value] * count, alternative) == expected


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
@pytest.mark.parametrize(
    "values", [VALUES, [1.0, 2.0, 3.0, 4.0, 5.0], [0.1, 0.2, -0.25], [0.0, 0.0]]
)
def test_flipped_signs_are_scipys_permutations(values: list[float], alternative: str) -> None:
    paired = stats.permutation_test(
        (values, [0.0] * len(values)),
        lambda arm, control: np.mean(arm) - np.mean(control),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative=alternative,
    )
    assert sign_flip_test(values, alternative) == pytest.approx(paired.pvalue)  # type: ignore[arg-type]


def test_flipped_signs_by_brute_force() -> None:
    values = [0.3, -0.1, 0.9, 0.4, 0.2, 0.25]
    sums = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=len(values))]
    assert sign_flip_test(values) == np.mean(np.array(sums) >= sum(values) - 1e-12)
    assert sign_flip_test([1.0, 2.0, 1.5]) == 0.25, "the smallest p that 3 seeds can give"


def test_two_one_sided_tests_are_a_90_percent_interval() -> None:
    high = stats.ttest_rel(*PAIRS).confidence_interval(0.9).high
    assert equivalence_test(VALUES, high * 1.001) < 0.05 < equivalence_test(VALUES, high * 0.999)
    lower_p, upper_p = (
        stats.ttest_1samp([2.5 + sign * value for value in VALUES], 0, alternative="greater").pvalue
        for sign in (1, -1)
    )
    assert equivalence_test(VALUES, 2.5) == pytest.approx(max(lower_p, upper_p))
    assert equivalence_test(VALUES, 9.0, sign_flip_test) == 1 / 16


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("effect", [0.0, 0.5, 1.2, 3.0])
def test_power_is_that_of_the_noncentral_t(effect: float, seeds: int) -> None:
    critical, shift = stats.t.ppf(0.975, seeds - 1), effect * np.sqrt(seeds)
    expected = stats.nct.sf(critical, seeds - 1, shift) + stats.nct.cdf(-critical, seeds - 1, shift)
    assert power(2 * effect, 2.0, seeds) == pytest.approx(expected, abs=1e-6)


def test_equivalence_is_as_often_found_as_said() -> None:
    draws = np.random.default_rng(0).normal(0.2, 0.8, (20_000, 6))
    half = stats.t.ppf(0.95, 5) * draws.std(1, ddof=1) / np.sqrt(6)
    fraction = np.mean((draws.mean(1) + half < 1) & (draws.mean(1) - half > -1))
    assert equivalence_power(1.0, 0.8, 6, 0.2) == pytest.approx(fraction, abs=0.01)


@pytest.mark.parametrize(
    ("seeds", "deviation", "effect"),
    [
        (5, 0.61, 1.03),
        (5, 0.35, 0.59),
        (5, 1.26, 2.12),
        (3, 1.89, 6.17),
        (3, 470, 1534),
        (3, 0.23, 0.75),
    ],
)
def test_smallest_effects(seeds: int, deviation: float, effect: float) -> None:
    assert smallest_effect(deviation, seeds) == pytest.approx(effect, rel=0.01)
    assert power(smallest_effect(deviation, seeds), deviation, seeds) == pytest.approx(0.8)
    assert equivalence_power(smallest_margin(deviation, seeds), deviation, seeds) == pytest.approx(
        0.8
    )


@pytest.mark.parametrize(
    ("effect", "deviation", "seeds"),
    [
        (0.46, 0.61, 16),
        (0.38, 0.35, 9),
        (0.28, 0.42, 20),
        (0.35, 0.86, 50),
        (4.71, 1.89, 4),
        (406, 470, 13),
    ],
)
def test_seeds_for_an_effect(effect: float, deviation: float, seeds: int) -> None:
    assert seeds_needed(lambda count: power(effect, deviation, count)) == seeds


@pytest.mark.parametrize(
    ("margin", "deviation", "truth", "seeds"),
    [(1, 0.7, 0, 8), (1, 0.37, 0, 4), (1, 0.89, 0, 11), (1, 1.62, 0, 30), (0.5, 0.61, 0.14, 25)],
)
def test_seeds_for_a_margin(margin: float, deviation: float, truth: float, seeds: int) -> None:
    """Numbers worked out before for two tests at 2.5 %, a 95 % interval."""
    assert (
        seeds_needed(lambda count: equivalence_power(margin, deviation, count, truth, 0.025))
        == seeds
    )


def test_no_number_of_seeds_finds_next_to_nothing() -> None:
    assert seeds_needed(lambda count: power(0.001, 1.0, count)) is None
    assert seeds_needed(lambda count: power(1.0, 0.0, count)) == 2
    assert power(log(2), 1e-9, 2) == pytest.approx(1)
    assert smallest_effect(0.0, 5) == 0
