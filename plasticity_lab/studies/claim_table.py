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


def table(work: StudyContext, found: Sequence[Outcome]) -> str:
    """Return a table of claims for Markdown, a row for each."""
    rows = [HEAD, ("---",) * len(HEAD), *(cells(work, one) for one in found)]
    return "".join(f"| {' | '.join(map(plain, row))} |\n" for row in rows)


def cells(work: StudyContext, one: Outcome) -> tuple[str, ...]:
    """Return the row of a claim."""
    claim, compared = one.claim, one.compared
    title = f"**{claim.id}** {claim.text}<br>{claim.paper}"
    verdict = one.said.replace(one.verdict, f"**{one.verdict}**", 1)
    if compared is None or len(compared.differences) < 2:
        return (title, claim.reported, "-", verdict, "-", "-", "-", "-", "-")
    margin = (
        ""
        if claim.within is None
        else f"same within {amount(claim, claim.inner(claim.within), '')}{unit(claim)}: "
    )
    return (
        title,
        claim.reported,
        here(work, one),
        margin + verdict,
        seeds(work, len(compared.differences)),
        probability(one.p),
        probability(one.exact),
        probability(one.adjusted),
        smallest(claim, compared.differences),
    )


def line(work: StudyContext, one: Outcome) -> str:
    """Return one line for the terminal."""
    compared = one.compared
    if compared is None or len(compared.differences) < 2:
        return f"{one.claim.id}  {one.claim.text}: {one.said}"
    count = seeds(work, len(compared.differences))
    return (
        f"{one.claim.id}  {one.claim.text}: {one.said}\n"
        f"    {here(work, one)}; {count} seeds, p = {probability(one.p)}"
    )


def seeds(work: StudyContext, count: int) -> str:
    """Say of how many seeds of a study a difference is known: `8`, or `6 of 8`."""
    whole = len({run.values.get("seed") for run in work.study.runs})
    return str(count) if count == whole else f"{count} of {whole}"


def here(work: StudyContext, one: Outcome) -> str:
    """Say how large a difference came out, with its interval, and of what."""
    claim, compared = one.claim, one.compared
    assert compared is not None
    arm, control = claim.pair
    what = metric_words(arm.metric, work.configs)
    seen = f"{gap(claim, interval(compared.differences))}{unit(claim)}"
    if claim.minus is not None:
        means = (
            f"{value:#.3g}" if claim.ratio else written(value, arm.metric, "+")
            for value in (compared.arm, compared.control)
        )
        return f"{seen}; {what}, {' against '.join(means)}"
    sides = [written(compared.arm, arm.metric), written(compared.control, control.metric)]
    if arm.over != control.over:
        sides = [
            f"{side} ({reading.over})" for side, reading in zip(sides, claim.pair, strict=True)
        ]
    if arm.metric != control.metric:
        return (
            f"{seen}; {what} {sides[0]} against {metric_words(control.metric, work.configs)} "
            f"{sides[1]}"
        )
    return f"{seen}; {what} {sides[0]} against {sides[1]}"


def smallest(claim: Claim, values: Sequence[float]) -> str:
    """Say what so many seeds of this spread would find with a probability of 80 %."""
    find = smallest_effect if claim.within is None else smallest_margin
    size = find(stdev(values), len(values))
    return amount(claim, -size if claim.ratio and claim.expect == "lower" else size, "") + unit(
        claim
    )


def plain(text: str) -> str:
    """Return text that stands in a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")
