"""Everything that a study's runs have logged, over time and seeds, as its page draws it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plasticity_lab.studies.arms import Arm
from plasticity_lab.studies.frames import epochs_of
from plasticity_lab.studies.metrics import scale
from plasticity_lab.studies.scalars import Points, read_all, tags
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.wording import axis_words

MOST_SEEDS = 10
"""Seeds of an arm up to which each is drawn."""

MOST_POINTS = 300
FEWEST_POINTS = 20
_BUDGET = 200_000
"""Points of all means together, about 2 MB of text, as long as curves keep the fewest."""

_SEED_BUDGET = 100_000
"""Points of all single seeds together, beyond which none is drawn."""

_DIGITS = 5
"""Significant digits: more than a picture shows."""

_END_OF_EPOCH = "train/loss"
"""Is logged once, at the end of each epoch."""

Moments = NDArray[np.float64]
"""(moments,): epochs, or optimizer steps."""

Table = NDArray[np.float64]
"""(seeds, moments): values of a metric, NaN where a seed has none."""


def curves(
    work: StudyContext, listed: Sequence[Arm], runs: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Return means, standard deviations and numbers of seeds of all metrics, as plain values.

    Values that are not finite are left out. Over time is over epochs, as far as the runs tell when
    these end, and otherwise over optimizer steps.

    Args:
        work: the study.
        listed: its arms.
        runs: the numbers of the finished runs of each.

    Returns:
        `time`: `epoch` or `optimizer step`; `tags`: of each metric its `tag` and what stands at
        the `axis`; `moments`: lists of moments; `curves`: of each tag, a curve for each arm that
        has logged it. A curve has the number of its `arm`, of its `moments`, and lists `mean`,
        `sd`, `n` and, of few seeds, `seeds`. `thinned` says what was left out.
    """
    folders = [[work.folder(number) for number in numbers] for numbers in runs]
    logged = [set(tags(folder)) for arm in folders for folder in arm]
    in_epochs = all(_END_OF_EPOCH in names for names in logged)
    tables = [_tables(arm, in_epochs) for arm in folders]
    names = sorted(set().union(*logged))

    # How many points there is room for.
    lengths = [len(at) for arm in tables for at, _ in arm.values()]
    longest = max(lengths, default=0)
    room = _BUDGET // max(1, len(names) * len(listed))
    most = min(MOST_POINTS, max(FEWEST_POINTS, room))
    values = [min(len(at), most) * len(table) for arm in tables for at, table in arm.values()]
    with_seeds = sum(values) <= _SEED_BUDGET

    moments: dict[tuple[float | None, ...], int] = {}
    by_tag: dict[str, list[dict[str, Any]]] = {}
    for tag in names:
        for place, arm in enumerate(tables):
            if tag not in arm:
                continue
            at, table = arm[tag]
            kept = _evenly(len(at), most)
            curve = _curve(table[:, kept] * scale(tag), with_seeds)
            number = moments.setdefault(tuple(_rounded(at[kept])), len(moments))
            by_tag.setdefault(tag, []).append({"arm": place, "moments": number, **curve})
    return {
        "time": "epoch" if in_epochs else "optimizer step",
        "tags": [{"tag": tag, "axis": axis_words(tag, None, work.opened.arms)} for tag in by_tag],
        "moments": list(moments),
        "curves": by_tag,
        "thinned": _thinned(longest, most, with_seeds, max(map(len, runs), default=0)),
    }


def _tables(folders: Sequence[Path], in_epochs: bool) -> dict[str, tuple[Moments, Table]]:
    """Return, of each metric of an arm, all moments and the value of each seed at each of them."""
    over_time: dict[str, list[dict[float, float]]] = {}
    for folder in folders:
        log = read_all(folder)
        for tag in log:
            over_time.setdefault(tag, []).append(_over_time(log, tag, in_epochs))
    return {tag: _table(seeds) for tag, seeds in over_time.items()}


def _over_time(log: Mapping[str, Points], tag: str, in_epochs: bool) -> dict[float, float]:
    """Return a metric of a run by moment, in epochs or in steps."""
    steps = [step for step, _ in log[tag]]
    values = [value for _, value in log[tag]]
    if not in_epochs:
        return dict(zip(map(float, steps), values, strict=True))
    ends = [0, *(step for step, _ in log[_END_OF_EPOCH])]
    return dict(zip(epochs_of(steps, ends), values, strict=True))


def _table(seeds: Sequence[Mapping[float, float]]) -> tuple[Moments, Table]:
    """Return all moments of some seeds, and the value of each seed at each of them."""
    at = np.array(sorted({moment for seed in seeds for moment in seed}))
    if all(len(seed) == len(at) for seed in seeds):
        order = at.tolist()
        table = np.array([[seed[moment] for moment in order] for seed in seeds])
    else:
        table = np.array([[seed.get(moment, np.nan) for moment in at.tolist()] for seed in seeds])
    table[~np.isfinite(table)] = np.nan
    return at, table


def _curve(table: Table, with_seeds: bool) -> dict[str, Any]:
    """Return mean, standard deviation and number of seeds at each moment."""
    counts = np.isfinite(table).sum(0)
    sums = np.nansum(table, 0)
    mean = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    squares = np.nansum((table - mean) ** 2, 0)
    sd = np.sqrt(np.divide(squares, counts - 1, out=np.full(len(sums), np.nan), where=counts > 1))
    curve: dict[str, Any] = {"mean": _rounded(mean), "sd": _rounded(sd), "n": counts.tolist()}
    if with_seeds and 1 < len(table) <= MOST_SEEDS:
        curve["seeds"] = [_rounded(seed) for seed in table]
    return curve


def _evenly(length: int, most: int) -> NDArray[np.int64]:
    """Return the places that stay of a list that is too long: evenly spaced, with both ends."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def _rounded(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    """Return values with few digits, as JSON has them: null where there is none."""
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values]


def _thinned(longest: int, most: int, with_seeds: bool, num_seeds: int) -> str:
    parts = []
    if longest > most:
        parts.append(f"Of curves of up to {longest} values {most} are drawn, evenly spaced.")
    if num_seeds > MOST_SEEDS or not with_seeds:
        parts.append("Single seeds are not drawn, as they are many.")
    return " ".join(parts)
