"""What a study's runs say about the claims it states."""

from collections.abc import Callable, Sequence
from statistics import stdev
from typing import NamedTuple

from plasticity_lab.studies.claims import Claim, Pair
from plasticity_lab.studies.readings import Compared, check_claims, compare
from plasticity_lab.studies.statistics import (
    EXACT,
    LARGEST,
    LEVEL,
    equivalence_power,
    equivalence_test,
    holm,
    interval,
    power,
    seeds_needed,
    sign_flip_test,
    t_test,
)
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.wording import amount, gap, unit

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
TOO_WEAK = "too weak to tell"
NOT_RUN = "not run"
EQUAL = "all seeds differ by the same amount, so that their spread is not known"
VERDICTS = (REPRODUCED, CONTRADICTED, TOO_WEAK, NOT_RUN)


class Outcome(NamedTuple):
    """A claim and what came out.

    Attributes:
        claim: the claim.
        compared: what was compared; None if not run.
        verdict: one of `VERDICTS`.
        because: what has to be said with it.
        p: of Student's t; None without a test.
        exact: of flipped signs; None without a test, or with more seeds than that is done for.
        adjusted: `p` by Holm over all directional claims tested together.
    """

    claim: Claim
    compared: Compared | None
    verdict: str
    because: str = ""
    p: float | None = None
    exact: float | None = None
    adjusted: float | None = None

    @property
    def tested(self) -> float | None:
        """Its p-value, if the claim is directional; only such are adjusted for their number."""
        return None if self.claim.expect == "same" else self.p

    @property
    def words(self) -> str:
        """The verdict in words."""
        return verdict_words(self.verdict, self.because, self.p, self.adjusted)


def verdict_words(verdict: str, because: str, p: float | None, adjusted: float | None) -> str:
    """Return a verdict in words; the arguments are those of `Outcome`."""
    words = f"{verdict}, not after Holm" if is_withdrawn(p, adjusted) else verdict
    return f"{words}: {because}" if because else words


def is_withdrawn(p: float | None, adjusted: float | None) -> bool:
    """Whether a p-value is too large when it is adjusted, and was not before."""
    return p is not None and adjusted is not None and p <= LEVEL < adjusted


def outcomes(work: StudyContext) -> list[Outcome]:
    """Return the verdict on each claim of a study, from its finished runs.

    P-values are adjusted for these claims only.
    """
    return adjusted([_outcome(work, claim) for claim in check_claims(work)])


def adjusted(unadjusted: Sequence[Outcome]) -> list[Outcome]:
    """Adjust the p-values of the directional claims for their number, together."""
    values = adjusted_values([outcome.tested for outcome in unadjusted])
    return [
        outcome._replace(adjusted=value) for outcome, value in zip(unadjusted, values, strict=True)
    ]


def adjusted_values(values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for their number by Holm; None where there is none."""
    tests = {place: value for place, value in enumerate(values) if value is not None}
    by_place = dict(zip(tests, holm(list(tests.values())), strict=True))
    return [by_place.get(place) for place in range(len(values))]


def _outcome(work: StudyContext, claim: Claim) -> Outcome:
    compared = compare(work, claim)
    if compared.missing:
        usable = "a value above 0, which a ratio needs" if claim.ratio else "a value"
        return Outcome(
            claim, compared, TOO_WEAK, f"finished runs without {usable}: {compared.missing}"
        )
    if len(compared.differences) < 2:
        return Outcome(claim, None, NOT_RUN, "one seed" if compared.differences else "")
    values, about = compared.differences, claim.of
    if isinstance(about, Pair):
        effect = compare(work, claim, about)
        if effect.missing or len(effect.differences) < 2:
            return Outcome(
                claim, compared, TOO_WEAK, "the effect it is a matter of is not measured"
            )
        verdict, because = judge(claim, values, effect.differences)
    else:
        verdict, because = judge(claim, values)
    tests = [t_test, sign_flip_test] if len(values) <= EXACT else [t_test]
    if claim.within is None:
        p = [test(values) for test in tests]
    else:
        p = [equivalence_test(values, claim.inner(claim.within), test) for test in tests]
    return Outcome(claim, compared, verdict, because, *p)


def judge(claim: Claim, values: Sequence[float], about: Sequence[float] = ()) -> tuple[str, str]:
    """Return a verdict, and what has to be said with it.

    Args:
        claim: the claim.
        values: two or more differences, logarithms of ratios if the claim is about one.
        about: for `same`, differences of the effect that it is a matter of, if that is measured.
    """
    return _same(claim, values, about) if claim.within is not None else _directional(claim, values)


def _directional(claim: Claim, values: Sequence[float]) -> tuple[str, str]:
    observed, deviation = interval(values), stdev(values)
    low, high = (
        (-observed.high, -observed.low)
        if claim.expect == "lower"
        else (observed.low, observed.high)
    )
    effect = None if claim.effect is None else abs(claim.inner(claim.effect))
    if not deviation and t_test(values) > LEVEL:
        return TOO_WEAK, EQUAL
    if low > 0:
        smaller = effect is not None and high < effect
        return REPRODUCED, "smaller than the paper's" if smaller else ""
    if high < 0:
        return CONTRADICTED, ""
    if effect is None:
        return TOO_WEAK, _needed(lambda seeds: power(observed.mean, deviation, seeds))
    if high < effect:
        size = f"{amount(claim, claim.inner(claim.effect or 0.0))}{unit(claim)}"
        return CONTRADICTED, f"an effect of {size} is excluded"
    for_observed = _needed(lambda seeds: power(observed.mean, deviation, seeds))
    for_paper = _needed(lambda seeds: power(effect, deviation, seeds), "the paper's effect")
    return TOO_WEAK, f"{for_observed}, {for_paper}"


def _same(claim: Claim, values: Sequence[float], about: Sequence[float]) -> tuple[str, str]:
    margin = claim.inner(claim.within or 0.0)
    observed = interval(values)
    deviation = stdev(values)
    if not deviation and equivalence_test(values, margin) > LEVEL:
        return TOO_WEAK, EQUAL
    if observed.low > margin or observed.high < -margin:
        return CONTRADICTED, ""
    if about:
        effect = interval(about)
        if effect.low <= 0 <= effect.high:
            needed = _needed(lambda seeds: power(effect.mean, stdev(about), seeds), "it")
            problem = f"the effect it is a matter of is not shown, {gap(claim, effect)}"
            return TOO_WEAK, f"{problem}; {needed}"
        if margin >= abs(effect.mean) / 2:
            problem = "the margin is not less than half of the effect it is a matter of"
            return TOO_WEAK, f"{problem}, {gap(claim, effect)}; more seeds do not help"
    if equivalence_test(values, margin) <= LEVEL:
        return REPRODUCED, ""
    truth = abs(observed.mean)
    if truth > margin:
        return TOO_WEAK, _needed(lambda seeds: power(truth - margin, deviation, seeds))
    return TOO_WEAK, _needed(lambda seeds: equivalence_power(margin, deviation, seeds, truth))


def _needed(reaches: Callable[[int], float], effect_name: str = "the difference seen") -> str:
    seeds = seeds_needed(reaches)
    return f"needs {f'more than {LARGEST:,}' if seeds is None else seeds} seeds for {effect_name}"
