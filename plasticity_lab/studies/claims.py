"""Claims of papers, as a study's YAML file states them."""

import re
from collections.abc import Sequence
from math import isfinite, log
from typing import Any, Literal, NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.studies.metrics import read_over, scale

COMPARED = ("arm", "control", "metric", "over", "control_metric", "control_over", "minus", "as")
KEYS = ("id", "claim", "paper", "reported", *COMPARED, "expect", "effect", "within", "of")
NEEDED = ("id", "claim", "paper", "arm", "control", "expect")
OF = (
    "the effect that the margin must be less than half of: a number, or {arm: ..., control: ...} "
    "to be measured"
)
CITATION = (
    "name the paper with its year and figure, as 'Achille et al. 2019, Fig. 1 left'; what it "
    "reports goes into reported:"
)


class Reading(NamedTuple):
    """One number of each seed.

    Attributes:
        runs: the runs it is read of, one for each seed: variables and their values.
        metric: what is read: a tag of their logs.
        over: how its values over time become one; see `studies.metrics.read_over`.
    """

    runs: dict[str, Any]
    metric: str
    over: str


class Pair(NamedTuple):
    """Two readings that are compared seed by seed: arm minus control, or arm over control."""

    arm: Reading
    control: Reading


class Claim(NamedTuple):
    """What a paper says of a comparison.

    In YAML, an entry of `claims`:

    * `id`, `claim`: free text. `paper`: authors, year, figure. `reported`: what the paper found,
      text.
    * `arm`, `control`: the runs that are compared, by their variables; with equal seeds they are
      pairs. `metric`, `over` are the report's unless given; `control_metric`, `control_over` are
      the arm's unless given, so that two metrics or two moments of the same runs may be compared.
    * `minus: {arm: …, control: …}`: the difference of differences, for an effect that depends on
      something.
    * `as: ratio`: arm over control, by logarithms; `within`, `of` and `effect` are ratios then.
    * `expect: lower` or `higher`, with `effect`: the difference that the paper's effect would be in
      this study, with its sign.
    * `expect: same`, with `within`: the largest difference that counts as none, and `of`: the
      effect that this difference is a matter of, a number or `{arm: …, control: …}` to be measured,
      of which the margin must be less than half.

    Attributes:
        id: short name.
        text: what is claimed.
        paper: authors, year, figure.
        reported: what the paper found.
        pair: what is compared.
        minus: the pair whose difference is subtracted.
        ratio: whether values are divided.
        expect: what the paper says.
        effect: the paper's effect; see above.
        within: the margin of `same`.
        of: the effect that the margin is measured by.
    """

    id: str
    text: str
    paper: str
    reported: str
    pair: Pair
    minus: Pair | None
    ratio: bool
    expect: Literal["lower", "higher", "same"]
    effect: float | None
    within: float | None
    of: Pair | float | None

    def inner(self, value: float) -> float:
        """Return a difference or ratio on the scale on which it is tested: a ratio's logarithm."""
        return log(value) if self.ratio else value

    @property
    def none(self) -> int:
        """The value of no effect: a ratio of 1, a difference of 0."""
        return 1 if self.ratio else 0

    @property
    def pairs(self) -> list[Pair]:
        """All pairs that have to be measured."""
        return [pair for pair in (self.pair, self.minus, self.of) if isinstance(pair, Pair)]


def read_claims(entries: Sequence[Any], metric: str, over: str) -> list[Claim]:
    """Read the claims of a study.

    Args:
        entries: what its file has under `claims`.
        metric: the report's.
        over: the report's.

    Raises:
        UserError: for a claim that cannot be read, a paper without a year, or a margin that is not
            less than half of its effect.
    """
    return [_claim(entry, metric, over) for entry in entries]


def _claim(entry: Any, metric: str, over: str) -> Claim:
    if not isinstance(entry, dict):
        raise UserError("claims", value=entry, fix="set keys and values")
    name = f"claims: {entry.get('id', '?')}"
    if unknown := [key for key in entry if key not in KEYS]:
        raise UserError(
            name,
            value=unknown[0],
            problem="a claim has no such key",
            fix=f"it has {', '.join(KEYS)}",
        )
    if missing := [key for key in NEEDED if key not in entry]:
        raise UserError(name, value=missing[0], problem="a claim needs it")
    if not re.search(r"\b(18|19|20)\d\d[a-z]?\W+\w", str(entry["paper"])):
        raise UserError(f"{name}: paper", value=entry["paper"], problem=CITATION)
    if entry.get("as", "difference") not in ("difference", "ratio"):
        raise UserError(f"{name}: as", value=entry["as"], fix="set difference or ratio")
    over = entry.get("over", over)
    metric = entry.get("metric", metric)
    arm = (metric, over)
    control = (entry.get("control_metric", metric), entry.get("control_over", over))
    for key, value in (("over", arm[1]), ("control_over", control[1])):
        read_over(value, f"{name}: {key}")
    ratio = entry.get("as") == "ratio"
    if scale(str(arm[0])) != scale(str(control[0])):
        raise UserError(
            f"{name}: control_metric",
            value=control[0],
            problem=f"is not in the unit of {arm[0]}",
            fix="compare metrics of one kind",
        )
    pair = _pair(entry, name, arm, control)
    minus = _pair(entry["minus"], f"{name}: minus", arm, control) if "minus" in entry else None
    if minus == pair:
        raise UserError(
            name,
            value="minus",
            problem="is the claim's own difference, which leaves 0",
            fix="name other runs",
        )
    of: Pair | float | None = None
    if isinstance(entry.get("of"), dict):
        of = _pair(entry["of"], f"{name}: of", arm, control)
    elif "of" in entry:
        of = _number(entry, name, "of", ratio)
    claim = Claim(
        id=str(entry["id"]),
        text=str(entry["claim"]),
        paper=str(entry["paper"]),
        reported=str(entry.get("reported", "")),
        pair=pair,
        minus=minus,
        ratio=ratio,
        expect=entry["expect"],
        effect=_number(entry, name, "effect", ratio),
        within=_number(entry, name, "within", ratio),
        of=of,
    )
    _check_expectation(claim, name)
    return claim


def _check_expectation(claim: Claim, name: str) -> None:
    """Raise UserError unless a claim has the numbers that its expectation needs, and no others."""
    if claim.expect == "same":
        _check_same(claim, name)
    elif claim.expect in ("lower", "higher"):
        _check_directional(claim, name)
    else:
        raise UserError(f"{name}: expect", value=claim.expect, fix="set lower, higher or same")


def _check_same(claim: Claim, name: str) -> None:
    if claim.within is None:
        missing = "within: the largest difference that counts as none"
        raise UserError(f"{name}: expect", value="same", problem=f"needs {missing}")
    if claim.of is None:
        raise UserError(f"{name}: expect", value="same", problem=f"needs of: {OF}")
    if claim.effect is not None:
        raise UserError(
            f"{name}: effect",
            value=claim.effect,
            problem="goes with lower or higher",
            fix="remove it; expect: same takes of",
        )
    if claim.within <= claim.none:
        raise UserError(
            f"{name}: within", value=claim.within, fix=f"set a number above {claim.none}"
        )
    if not isinstance(claim.of, float):
        return
    if claim.inner(claim.within) >= abs(claim.inner(claim.of)) / 2:
        raise UserError(
            f"{name}: within",
            value=claim.within,
            problem=f"is not less than half of {claim.of}, the effect it is a matter of ({OF})",
        )


def _check_directional(claim: Claim, name: str) -> None:
    for key in ("within", "of"):
        if getattr(claim, key) is not None:
            raise UserError(f"{name}: {key}", problem="goes with expect: same")
    if claim.effect is None:
        return
    side = "above" if claim.expect == "higher" else "below"
    wrong_side = claim.effect <= claim.none if side == "above" else claim.effect >= claim.none
    if wrong_side:
        raise UserError(
            f"{name}: effect",
            value=claim.effect,
            problem=f"{claim.expect} needs a number {side} {claim.none}: arm against control",
        )


def _pair(entry: Any, name: str, arm: tuple[str, str], control: tuple[str, str]) -> Pair:
    if not isinstance(entry, dict):
        raise UserError(
            name, value=entry, fix="set arm and control, each with variables and their values"
        )
    if name.endswith((": minus", ": of")) and (
        unknown := [key for key in entry if key not in Pair._fields]
    ):
        raise UserError(
            name,
            value=unknown[0],
            problem="it has arm and control only",
            fix="metric and over are the claim's",
        )
    for key in Pair._fields:
        if not isinstance(entry.get(key), dict):
            raise UserError(
                f"{name}: {key}",
                value=entry.get(key),
                fix="set variables and their values, as {arm: warm}",
            )
    pair = Pair(Reading(entry["arm"], *arm), Reading(entry["control"], *control))
    if pair.arm == pair.control:
        raise UserError(
            name,
            value="control",
            problem="is the arm itself",
            fix="name other runs, a control_metric or a control_over",
        )
    return pair


def _number(entry: dict[str, Any], name: str, key: str, ratio: bool) -> float | None:
    value = entry.get(key)
    if key in entry and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UserError(
            f"{name}: {key}",
            value=value,
            fix=f"set a number{(' or {arm: ..., control: ...}' if key == 'of' else '')}",
        )
    if value is not None and (not isfinite(value) or (ratio and value <= 0)):
        raise UserError(
            f"{name}: {key}",
            value=value,
            fix=f"set a finite {('ratio above 0' if ratio else 'number')}",
        )
    return None if value is None else float(value)
