"""Claims and what came out of them, as a study's page shows them."""

from collections.abc import Sequence
from typing import NamedTuple

from plasticity_lab.studies.claim_table import result, seeds, smallest
from plasticity_lab.studies.statistics import interval
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.verdicts import CONTRADICTED, NOT_RUN, REPRODUCED, TOO_WEAK, Outcome
from plasticity_lab.studies.wording import amount, probability, unit

SIGNS = {REPRODUCED: "✓", CONTRADICTED: "✗", TOO_WEAK: "?", NOT_RUN: "○"}
"""So that a verdict is not told by its colour alone."""

_MARGIN = 0.08
"""Share of a picture that stays free at each side."""


class Bar(NamedTuple):
    """An interval against no effect, in percent of a picture's width.

    Attributes:
        mean: the difference.
        low: lower end of its interval.
        high: upper end.
        none: where no effect is.
        margins: the ends of what counts as none, for `expect: same`.
        text: the same in words.
    """

    mean: float
    low: float
    high: float
    none: float
    margins: tuple[float, ...]
    text: str


class Card(NamedTuple):
    """A claim and what came out.

    Attributes:
        id: the claim's short name.
        text: what is claimed.
        paper: whose claim it is.
        reported: what the paper found.
        verdict: what came out.
        sign: the same as one letter.
        because: what has to be said with it.
        here: the difference with its interval, and of what; "" without one.
        bar: the same as a picture.
        numbers: seeds, p-values and power, each with its name.
    """

    id: str
    text: str
    paper: str
    reported: str
    verdict: str
    sign: str
    because: str
    here: str
    bar: Bar | None
    numbers: list[tuple[str, str]]


def cards(work: StudyContext, outcomes: Sequence[Outcome]) -> list[Card]:
    """Return a card for each claim."""
    return [_card(work, outcome) for outcome in outcomes]


def _card(work: StudyContext, outcome: Outcome) -> Card:
    claim, compared = outcome.claim, outcome.compared
    here, bar = "", None
    numbers: list[tuple[str, str]] = []
    if compared is not None and len(compared.differences) > 1:
        here, bar = result(work, outcome), _bar(outcome)
        numbers = [
            ("seeds", seeds(work, len(compared.differences))),
            ("p, Student's t", probability(outcome.p)),
            ("p, exact", probability(outcome.exact)),
            ("p, Holm", probability(outcome.adjusted)),
            ("found with a power of 80\N{NO-BREAK SPACE}%", smallest(claim, compared.differences)),
        ]
    return Card(
        id=claim.id,
        text=claim.text,
        paper=claim.paper,
        reported=claim.reported,
        verdict=outcome.verdict,
        sign=SIGNS[outcome.verdict],
        because=outcome.words.removeprefix(outcome.verdict).lstrip(",: "),
        here=here,
        bar=bar,
        numbers=numbers,
    )


def _bar(outcome: Outcome) -> Bar:
    """Return where an interval lies, on the scale on which it is tested."""
    claim, compared = outcome.claim, outcome.compared
    assert compared is not None
    gap = interval(compared.differences)
    margin = None if claim.within is None else claim.inner(claim.within)
    margins = () if margin is None else (-margin, margin)

    # All of it fits into the picture.
    marks = [*gap, *margins, 0.0]
    low, high = min(marks), max(marks)
    width = (high - low) * (1 + 2 * _MARGIN) or 1.0
    start = low - (high - low) * _MARGIN

    def place(value: float) -> float:
        return round(float(100 * (value - start) / width), 2)

    ends = (amount(claim, value) for value in gap)
    text = "{} with a 95 % interval from {} to {}".format(*ends)
    text += f"{unit(claim)}; no effect is {claim.none}"
    if margin is not None:
        text += f", and less than {amount(claim, margin, '')} counts as none"
    return Bar(
        mean=place(gap.mean),
        low=place(gap.low),
        high=place(gap.high),
        none=place(0.0),
        margins=tuple(map(place, margins)),
        text=text,
    )
