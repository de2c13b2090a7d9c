"""What claims are about: numbers of a study's runs, compared seed by seed."""

from collections.abc import Iterator
from math import exp, isfinite
from statistics import mean
from typing import Any, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.studies.claims import Claim, Pair, Reading, read_claims
from plasticity_lab.studies.metrics import check_metric, summary
from plasticity_lab.studies.settings import check_length, settings
from plasticity_lab.studies.study_context import StudyContext


class Compared(NamedTuple):
    """A comparison, seed by seed.

    Attributes:
        differences: of each seed that has all values; logarithms of ratios if the claim is about
            one.
        arm: mean of these seeds' values in the arm; where differences are compared, mean
            difference.
        control: the same of the control.
        missing: which finished runs have no value, "" if all have one.
    """

    differences: list[float]
    arm: float
    control: float
    missing: str


def check_claims(work: StudyContext) -> list[Claim]:
    """Read the claims of a study.

    Raises:
        UserError: for a claim that cannot be read, or runs or metrics that there are not; before
            anything is trained.
    """
    chosen = settings(work)
    claims = read_claims(work.study.claims, chosen.metric, chosen.over)
    for claim in claims:
        common_seeds: set[Any] = set()
        for key, reading in _readings(claim):
            name = f"claims: {claim.id}: {key}: {reading.runs}"
            numbers = matching(work, reading.runs)
            seeds = [work.study.runs[number].values["seed"] for number in numbers]
            if not seeds:
                raise UserError(
                    name, problem="no run has these values", fix=f"they have {_variables(work)}"
                )
            if len(set(seeds)) < len(seeds):
                raise UserError(
                    name,
                    problem="several runs of one seed have these values",
                    fix="name more of them",
                )
            common_seeds = common_seeds & {*seeds} if common_seeds else {*seeds}
            if not common_seeds:
                raise UserError(
                    name,
                    problem=(
                        "shares no seed with the runs that it is compared with, and seeds are "
                        "compared in pairs"
                    ),
                )
            side = "control_" if key.endswith("control") else ""
            check_length(f"claims: {claim.id}: {side}over", reading.over, work, numbers)
            check_metric(f"claims: {claim.id}: {side}metric", reading.metric, work.opened.tags)
    return claims


def _variables(work: StudyContext) -> str:
    """Return the variables of a study's runs, with some of their values."""
    by_name: dict[str, list[Any]] = {}
    for run in work.study.runs:
        for name, value in run.values.items():
            if value not in by_name.setdefault(name, []):
                by_name[name].append(value)
    texts = []
    for name, distinct in by_name.items():
        ellipsis = ", …" if len(distinct) > 8 else ""
        texts.append(f"{name}: {', '.join(map(str, distinct[:8]))}{ellipsis}")
    return "; ".join(texts)


def matching(work: StudyContext, values: dict[str, Any]) -> list[int]:
    """Return the numbers of the runs that have some values.

    A variable that is null differs from one that is absent.
    """
    items = values.items()
    return [number for number, run in enumerate(work.study.runs) if items <= run.values.items()]


def values(work: StudyContext, reading: Reading, positive: bool = False) -> dict[int, float | None]:
    """Return a reading of each seed whose run is finished: None where it never logged the metric.

    So it is with a time that was not reached. Shares (accuracies) are in percent.

    Args:
        work: the study.
        reading: what is read.
        positive: whether a value of 0 or less is none, too, as it has no logarithm.
    """
    by_seed: dict[int, float | None] = {}
    for number in matching(work, reading.runs):
        if work.is_materialised(number):
            value = summary(work.folder(number), reading.metric, reading.over)
            usable = value is not None and isfinite(value) and (value > 0 or not positive)
            by_seed[work.study.runs[number].values["seed"]] = value if usable else None
    return by_seed


def compare(work: StudyContext, claim: Claim, pair: Pair | None = None) -> Compared:
    """Compare arm and control of a claim, or of the pair that its margin is measured by."""
    sides = [*(pair or claim.pair), *((claim.minus or ()) if pair is None else ())]
    readings = [values(work, side, claim.ratio) for side in sides]
    names = ("arm", "control", "minus: arm", "minus: control")
    without = [
        f"{name}: {list(by_seed.values()).count(None)} of {len(by_seed)}"
        for name, by_seed in zip(names, readings, strict=False)
    ]
    missing = "; ".join(
        text for text, by_seed in zip(without, readings, strict=True) if None in by_seed.values()
    )
    seeds = [
        seed for seed in readings[0] if all(by_seed.get(seed) is not None for by_seed in readings)
    ]
    numbers = [[claim.inner(by_seed[seed] or 0.0) for seed in seeds] for by_seed in readings]
    first = [arm - control for arm, control in zip(*numbers[:2], strict=True)]
    second = (
        [arm - control for arm, control in zip(*numbers[2:], strict=True)]
        if len(numbers) > 2
        else []
    )
    if not seeds:
        return Compared([], float("nan"), float("nan"), missing)
    if second:
        outer = exp if claim.ratio else float
        arm, control = outer(mean(first)), outer(mean(second))
    else:
        arm, control = (mean(by_seed[seed] or 0.0 for seed in seeds) for by_seed in readings)
    return Compared(
        [
            change - subtracted
            for change, subtracted in zip(first, second or [0.0] * len(first), strict=True)
        ],
        arm,
        control,
        missing,
    )


def _readings(claim: Claim) -> Iterator[tuple[str, Reading]]:
    for key, pair in (("", claim.pair), ("minus: ", claim.minus), ("of: ", claim.of)):
        if isinstance(pair, Pair):
            yield from (
                (f"{key}{side}", reading) for side, reading in zip(Pair._fields, pair, strict=True)
            )
