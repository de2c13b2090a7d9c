"""Statistics of paired differences, one for each seed: intervals, tests, power.

Functions of numbers alone.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import sqrt
from statistics import stdev
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

LEVEL = 0.05
"""Probability of a false positive that a test may have."""

POWER = 0.8
"""Probability with which a design should find what is there."""

LARGEST = 1000
"""Seeds beyond which none are counted."""

EXACT = 12
"""Largest number of differences whose signs are all flipped: 4,096 ways."""

_PLACES, _SHARES = np.polynomial.legendre.leggauss(400)

Numbers = NDArray[np.float64]
Alternative = Literal["two-sided", "greater"]
Test = Callable[[Sequence[float], Alternative], float]


class Interval(NamedTuple):
    """A mean and an interval that holds the true one with some confidence.

    Attributes:
        mean: of the values.
        low: the interval's lower end.
        high: its upper end.
    """

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], confidence: float = 1 - LEVEL) -> Interval:
    """Return Student's interval of a mean.

    Of a single value it is infinite; of no value there is no mean.
    """
    mean = sum(values) / len(values) if values else float("nan")
    if len(values) < 2:
        return Interval(mean, float("-inf"), float("inf"))
    critical = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    half = critical * stdev(values) / sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def t_test(values: Sequence[float], alternative: Alternative = "two-sided") -> float:
    """Return the p-value of Student's t for a mean of 0: paired, if the values are differences.

    Where all values are equal their spread is not known; then it is that of flipped signs, which
    such values make 2 / 2^n (one-sided 1 / 2^n).

    Raises:
        ZeroDivisionError: for fewer than two values.
    """
    if len(values) < 2:
        raise ZeroDivisionError("the spread of fewer than two values is not known")
    mean = sum(values) / len(values)
    error = stdev(values) / sqrt(len(values))
    if not error:
        flips = 0.5 ** len(values)
        if alternative == "greater":
            return flips if mean > 0 else 1.0
        return min(1.0, 2 * flips) if mean else 1.0
    t = mean / error
    if alternative == "greater":
        return float(stats.t.sf(t, len(values) - 1))
    return min(1.0, 2 * float(stats.t.sf(abs(t), len(values) - 1)))


def sign_flip_test(values: Sequence[float], alternative: Alternative = "two-sided") -> float:
    """Return the exact p-value of a mean of 0 by flipping signs (Fisher 1935).

    It is the share of all ways to flip signs that give a mean as far from 0. The one assumption is
    that differences are symmetric where there is no effect.
    With n of them no two-sided p is below 2 / 2^n: .25 for 3 seeds, .0625 for 5, .0078 for 8.
    """
    total = sum(values)
    tie = 1e-9 * sum(map(abs, values))
    sums = [
        sum(sign * value for sign, value in zip(signs, values, strict=True))
        for signs in product((1, -1), repeat=len(values))
    ]
    if alternative == "greater":
        return sum(flipped >= total - tie for flipped in sums) / len(sums)
    return sum(abs(flipped) >= abs(total) - tie for flipped in sums) / len(sums)


def equivalence_test(values: Sequence[float], margin: float, test: Test = t_test) -> float:
    """Return the larger p-value of two one-sided tests for a mean within ±margin.

    TOST; Schuirmann 1987. At 5 % it is significant just where the 90 % interval lies within the
    margin.
    """
    return max(
        test([margin + value for value in values], "greater"),
        test([margin - value for value in values], "greater"),
    )


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979).

    The smallest times n, the next times n - 1, …, never falling.
    """
    adjusted = [0.0] * len(values)
    largest = 0.0
    ascending = sorted(range(len(values)), key=lambda place: values[place])
    for rank, place in enumerate(ascending):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def power(effect: float, deviation: float, seeds: int) -> float:
    """Return how likely a two-sided paired t test at 5 % finds an effect.

    Args:
        effect: the true mean of the differences.
        deviation: their true standard deviation.
        seeds: their number, 2 or more.
    """
    if not deviation:
        return float(effect != 0)
    shift = abs(effect) / deviation * sqrt(seeds)
    critical = float(stats.t.ppf(1 - LEVEL / 2, seeds - 1))

    def miss_probability(spread: Numbers) -> Numbers:
        """Probability that the test does not reject, given the spread that was estimated.

        The mean, in standard errors, is then within the critical value times that spread.
        """
        return np.asarray(
            special.ndtr(critical * spread - shift) - special.ndtr(-critical * spread - shift)
        )

    return 1 - _over_spreads(miss_probability, seeds)


def equivalence_power(
    margin: float, deviation: float, seeds: int, truth: float = 0.0, level: float = LEVEL
) -> float:
    """Return how likely two one-sided paired t tests find a mean to lie within ±margin.

    Args:
        margin: largest difference that counts as none.
        deviation: true standard deviation of the differences.
        seeds: their number, 2 or more.
        truth: their true mean.
        level: of each of the two tests.
    """
    if not deviation:
        return float(abs(truth) < margin)
    error = deviation / sqrt(seeds)
    critical = float(stats.t.ppf(1 - level, seeds - 1))

    def detected(spread: Numbers) -> Numbers:
        """Probability that the interval lies within the margin, given the estimated spread."""
        half_width, shift = margin / error - critical * spread, truth / error
        return np.asarray(special.ndtr(half_width - shift) - special.ndtr(-half_width - shift))

    return _over_spreads(detected, seeds, edge=margin / error / critical)


def _over_spreads(
    chance: Callable[[Numbers], Numbers], seeds: int, edge: float = float("inf")
) -> float:
    """Return the mean of a probability over standard deviations estimated from so many values.

    The true standard deviation is 1.

    Args:
        chance: the probability, given some of them.
        seeds: number of values.
        edge: the standard deviation beyond which the probability is 0.
    """
    scale = sqrt(seeds - 1)
    low, high = max(0.0, scale - 9), min(scale + 9, edge * scale)
    if high <= low:
        return 0.0
    # Gauss-Legendre quadrature over the distribution of the estimate.
    places = low + (high - low) * (_PLACES + 1) / 2
    values = chance(places / scale) * stats.chi.pdf(places, seeds - 1)
    return float((high - low) / 2 * np.sum(_SHARES * values))


def smallest_effect(deviation: float, seeds: int) -> float:
    """Return the effect that a paired t test at 5 % finds with probability 80 %.

    See `power`.
    """
    return deviation * float(
        optimize.brentq(lambda effect: power(effect, 1.0, seeds) - POWER, 1e-3, 20.0)
    )


def smallest_margin(deviation: float, seeds: int) -> float:
    """Return the margin within which no difference is found with probability 80 %.

    See `equivalence_power`.
    """
    return deviation * float(
        optimize.brentq(lambda margin: equivalence_power(margin, 1.0, seeds) - POWER, 1e-3, 40.0)
    )


def seeds_needed(reaches: Callable[[int], float]) -> int | None:
    """Return the smallest number of seeds with a power of 80 %; None if above 1,000.

    At least 2.

    Args:
        reaches: the power with a number of seeds; it rises with it.
    """
    low, high = 1, 2
    while reaches(high) < POWER:
        low, high = high, 2 * high
        if low >= LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if reaches(middle) >= POWER:
            high = middle
        else:
            low = middle
    return high if high <= LARGEST else None
