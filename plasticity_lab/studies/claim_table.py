"""Claims and what came out of them, as text."""

from collections.abc import Sequence
from statistics import stdev

from plasticity_lab.studies.claims import Claim
from plasticity_lab.studies.metrics import written
from plasticity_lab.studies.statistics import interval, smallest_effect, smallest_margin
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.verdicts import Outcome
from plasticity_lab.studies.wording import amount, gap, metric_words, probability, unit

HEAD = ("claim", "reported", "here", "verdict", "seeds", "p, t", "p, exact", "p, Holm", "80 %")


def table(work: StudyContext, outcomes: Sequence[Outcome]) -> str:
    """Return a table of claims for Markdown, a row for each."""
    rows = [HEAD, ("---",) * len(HEAD), *(cells(work, outcome) for outcome in outcomes)]
    return "".join(f"| {' | '.join(map(plain, row))} |\n" for row in rows)


def cells(work: StudyContext, outcome: Outcome) -> tuple[str, ...]:
    """Return the row of a claim."""
    claim, compared = outcome.claim, outcome.compared
    title = f"**{claim.id}** {claim.text}<br>{claim.paper}"
    verdict = outcome.said.replace(outcome.verdict, f"**{outcome.verdict}**", 1)
    if compared is None or len(compared.differences) < 2:
        return (title, claim.reported, "-", verdict, "-", "-", "-", "-", "-")
    if claim.within is not None:
        margin = f"{amount(claim, claim.inner(claim.within), '')}{unit(claim)}"
        verdict = f"same within {margin}: {verdict}"
    return (
        title,
        claim.reported,
        result(work, outcome),
        verdict,
        seeds(work, len(compared.differences)),
        probability(outcome.p),
        probability(outcome.exact),
        probability(outcome.adjusted),
        smallest(claim, compared.differences),
    )


def line(work: StudyContext, outcome: Outcome) -> str:
    """Return the outcome of a claim for the terminal, in one line or two."""
    compared = outcome.compared
    first = f"{outcome.claim.id}  {outcome.claim.text}: {outcome.said}"
    if compared is None or len(compared.differences) < 2:
        return first
    count = seeds(work, len(compared.differences))
    return f"{first}\n    {result(work, outcome)}; {count} seeds, p = {probability(outcome.p)}"


def seeds(work: StudyContext, count: int) -> str:
    """Return of how many seeds of a study a difference is known: `8`, or `6 of 8`."""
    planned = len({run.values.get("seed") for run in work.study.runs})
    return str(count) if count == planned else f"{count} of {planned}"


def result(work: StudyContext, outcome: Outcome) -> str:
    """Return how large a difference came out, with its interval, and of what."""
    claim, compared = outcome.claim, outcome.compared
    assert compared is not None
    arm, control = claim.pair
    metric = metric_words(arm.metric, work.opened.arms)
    difference = f"{gap(claim, interval(compared.differences))}{unit(claim)}"
    if claim.minus is not None:
        means = (
            f"{value:#.3g}" if claim.ratio else written(value, arm.metric, "+")
            for value in (compared.arm, compared.control)
        )
        return f"{difference}; {metric}, {' against '.join(means)}"
    sides = [written(compared.arm, arm.metric), written(compared.control, control.metric)]
    if arm.over != control.over:
        sides = [
            f"{side} ({reading.over})" for side, reading in zip(sides, claim.pair, strict=True)
        ]
    if arm.metric != control.metric:
        return (
            f"{difference}; {metric} {sides[0]} against "
            f"{metric_words(control.metric, work.opened.arms)} {sides[1]}"
        )
    return f"{difference}; {metric} {sides[0]} against {sides[1]}"


def smallest(claim: Claim, values: Sequence[float]) -> str:
    """Return what so many seeds of this spread would find with a probability of 80 %."""
    find = smallest_effect if claim.within is None else smallest_margin
    size = find(stdev(values), len(values))
    if claim.ratio and claim.expect == "lower":
        size = -size
    return f"{amount(claim, size, '')}{unit(claim)}"


def plain(text: str) -> str:
    """Return text that stands in a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")
