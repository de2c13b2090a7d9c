"""Claims and what came out of them, as text."""

from collections.abc import Sequence
from statistics import stdev
from typing import NamedTuple

from plasticity_lab.studies.claims import Claim
from plasticity_lab.studies.metrics import written
from plasticity_lab.studies.statistics import interval, smallest_effect, smallest_margin
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.verdicts import Outcome, verdict_words
from plasticity_lab.studies.wording import amount, gap, metric_words, probability, unit

HEAD = ("claim", "reported", "here", "verdict", "seeds", "p, t", "p, exact", "p, Holm", "80 %")


class Row(NamedTuple):
    """A claim and what came out of it, in words but for p-values.

    Attributes:
        title: id, claim and paper.
        reported: what the paper found.
        result: what came out here; `-` if nothing, as in what follows.
        expected: `same within 2.00 points`; "" of a directional claim.
        verdict: one of `VERDICTS`.
        because: what has to be said with it.
        seeds: how many.
        p: as in `Outcome`, and `exact`.
        exact: as in `Outcome`.
        directional: whether `p` is adjusted for the number of claims.
        smallest: what so many seeds would find.
    """

    title: str
    reported: str
    result: str
    expected: str
    verdict: str
    because: str
    seeds: str
    p: float | None
    exact: float | None
    directional: bool
    smallest: str

    @property
    def tested(self) -> float | None:
        """The p-value that is adjusted."""
        return self.p if self.directional else None


def table(rows: Sequence[Row], adjusted: Sequence[float | None]) -> str:
    """Return a table of claims for Markdown.

    Args:
        rows: the claims.
        adjusted: their p-values, adjusted.
    """
    lines = [HEAD, ("---",) * len(HEAD)]
    lines += [_cells(*one) for one in zip(rows, adjusted, strict=True)]
    return "".join(f"| {' | '.join(map(plain, cells))} |\n" for cells in lines)


def title(claim: Claim) -> str:
    """Return a claim's id, text and paper."""
    return f"**{claim.id}** {claim.text}<br>{claim.paper}"


def row(work: StudyContext, outcome: Outcome) -> Row:
    """Return the row of a claim of a study."""
    claim, compared = outcome.claim, outcome.compared
    shown = Row(
        title=title(claim),
        reported=claim.reported,
        result="-",
        expected="",
        verdict=outcome.verdict,
        because=outcome.because,
        seeds="-",
        p=outcome.p,
        exact=outcome.exact,
        directional=claim.expect != "same",
        smallest="-",
    )
    if compared is None or len(compared.differences) < 2:
        return shown
    expected = ""
    if claim.within is not None:
        margin = f"{amount(claim, claim.inner(claim.within), '')}{unit(claim)}"
        expected = f"same within {margin}"
    return shown._replace(
        result=result(work, outcome),
        expected=expected,
        seeds=seeds(work, len(compared.differences)),
        smallest=smallest(claim, compared.differences),
    )


def _cells(row: Row, adjusted: float | None) -> tuple[str, ...]:
    words = verdict_words(row.verdict, row.because, row.p, adjusted)
    verdict = words.replace(row.verdict, f"**{row.verdict}**", 1)
    return (
        row.title,
        row.reported,
        row.result,
        f"{row.expected}: {verdict}" if row.expected else verdict,
        row.seeds,
        probability(row.p),
        probability(row.exact),
        probability(adjusted),
        row.smallest,
    )


def line(work: StudyContext, outcome: Outcome) -> str:
    """Return the outcome of a claim for the terminal, in one line or two."""
    compared = outcome.compared
    first = f"{outcome.claim.id}  {outcome.claim.text}: {outcome.words}"
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
