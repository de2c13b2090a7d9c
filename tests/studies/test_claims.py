"""What a claim may say, and what comes of it."""

import json
from typing import Any

import pytest
from scipy import stats

from plasticity_lab.errors import UserError
from plasticity_lab.studies import claim_table, scalars
from plasticity_lab.studies.claims import Claim, read_claims
from plasticity_lab.studies.readings import check_claims
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.verdicts import EQUAL, adjusted, judge, outcomes
from tests.studies.small import ARMS, small

CLAIM = {
    "id": "B1",
    "claim": "c",
    "paper": "Some & Others 2019, Fig. 1",
    "arm": {"arm": "warm"},
    "control": {"arm": "plain"},
    "expect": "lower",
}
SAME = {**CLAIM, "expect": "same", "within": 1, "of": 5}
PAIR = {"arm": {"arm": "warm"}, "control": {"arm": "plain"}}
LOSS = "val/loss"
Values = dict[str, list[float | None]]


def read(**keys: Any) -> Claim:
    (claim,) = read_claims([{**CLAIM, **keys}], "val/accuracy", "last epoch")
    return claim


def logged(claims: list[dict[str, Any]], **metrics: Values) -> StudyContext:
    """Return a study with some finished runs: a metric's values by arm, one for each seed.

    None logs nothing.
    """
    arms = {arm: ARMS[arm] for values in metrics.values() for arm in values}
    seeds = max(len(by_seed) for values in metrics.values() for by_seed in values.values())
    work = small(arms, seeds=seeds, claims=[{**CLAIM, "metric": LOSS, **claim} for claim in claims])
    for number, run in enumerate(work.study.runs):
        folder = work.folder(number)
        logged_values = {"train/loss": [(0, 1.0)]}
        for metric, values in metrics.items():
            of_seeds = dict(enumerate(values.get(run.values["arm"], [])))
            value = of_seeds.get(run.values["seed"])
            if value is not None:
                logged_values.setdefault(metric.replace("__", "/"), []).append((3, value))
        folder.mkdir(parents=True, exist_ok=True)
        scalars.write(folder, logged_values)
        (folder / "run.json").write_text(json.dumps({"state": work.paths[number].states[-1]}))
    return work


@pytest.mark.parametrize(
    ("values", "keys", "verdict"),
    [
        ([-9, -8, -7], {}, ("reproduced", "")),
        ([-9, -8, -7], {"expect": "higher"}, ("contradicted", "")),
        ([-9, -8, -7], {"effect": -20}, ("reproduced", "smaller than the paper's")),
        ([-1, 0.5, 0.2], {"effect": -4}, ("contradicted", "an effect of -4.00 points is excluded")),
        ([-1, 0.5, -0.2], {}, ("too weak to tell", "needs 84 seeds for the difference seen")),
        (
            [-1, 0.5, -0.2],
            {"effect": -2},
            (
                "too weak to tell",
                "needs 84 seeds for the difference seen, needs 4 seeds for the paper's effect",
            ),
        ),
        (
            [-1, 0.5, 0.5],
            {},
            ("too weak to tell", "needs more than 1,000 seeds for the difference seen"),
        ),
        ([0.1, -0.1, 0.0, 0.1], SAME, ("reproduced", "")),
        ([3.1, 2.9, 3.0], SAME, ("contradicted", "")),
        ([0.4, -0.9, 0.2], SAME, ("too weak to tell", "needs 6 seeds for the difference seen")),
        ([1.4, 0.8, 1.5], SAME, ("too weak to tell", "needs 23 seeds for the difference seen")),
        ([-0.2, -0.2], {}, ("too weak to tell", EQUAL)),
        ([-0.2] * 6, {}, ("reproduced", "")),
        ([0.0, 0.0], SAME, ("too weak to tell", EQUAL)),
        ([0.0] * 5, SAME, ("reproduced", "")),
    ],
)
def test_a_verdict_follows_from_the_values(
    values: list[float], keys: dict[str, Any], verdict: tuple[str, str]
) -> None:
    assert judge(read(**keys), values) == verdict


def test_a_margin_is_half_of_a_measured_effect() -> None:
    claim, none = read(**{**SAME, "of": PAIR}), [0.1, -0.1, 0.0, 0.1]
    assert judge(claim, none, [-5.0, -4.5, -5.5]) == ("reproduced", "")
    weak, because = judge(claim, none, [-1.5, -1.4, -1.6])
    assert (weak, because) == (
        "too weak to tell",
        (
            "the margin is not less than half of the effect it is a matter of, -1.50 [-1.75, "
            "-1.25]; more seeds do not help"
        ),
    )
    weak, because = judge(claim, none, [-9.0, 1.0, 2.0])
    assert because.startswith("the effect it is a matter of is not shown, -2.00 [")
    assert because.endswith("; needs 75 seeds for it")
    assert judge(claim, [3.1, 2.9, 3.0], [-9.0, 1.0, 2.0]) == ("contradicted", "")


def test_a_ratio_is_tested_by_logarithms() -> None:
    work = logged(
        [{"as": "ratio", "expect": "higher", "effect": 1.5}],
        val__loss={"plain": [1.0, 2.0, 4.0], "warm": [2.0, 4.2, 7.6]},
    )
    (outcome,) = outcomes(work)
    assert outcome.compared is not None
    assert outcome.words == "reproduced"
    assert (
        claim_table.result(work, outcome) == "2.00 [1.76, 2.26] times; test loss 4.60 against 2.33"
    )
    equality = read(**{**SAME, "as": "ratio", "within": 1.2, "of": 2})
    assert judge(equality, [0.01, -0.01, 0.02]) == ("reproduced", "")


def test_an_interaction_is_a_difference_of_differences() -> None:
    minus = {"arm": {"arm": "blurred for 2"}, "control": {"arm": "blurred for 1"}}
    values: Values = {
        "plain": [1.0, 2.0, 3.0],
        "warm": [4.0, 5.0, 6.5],
        "blurred for 1": [7.0, 7.0, 7.0],
        "blurred for 2": [8.0, 8.1, 8.0],
    }
    (outcome,) = outcomes(work := logged([{"minus": minus, "expect": "higher"}], val__loss=values))
    assert outcome.compared is not None
    assert outcome.compared.differences == pytest.approx([2.0, 1.9, 2.5])
    assert (
        claim_table.result(work, outcome) == "+2.13 [+1.33, +2.93]; test loss, +3.17 against +1.03"
    )


def test_two_metrics_or_moments_of_the_same_runs_are_compared() -> None:
    within = {"arm": {"arm": "plain"}, "control": {"arm": "plain"}, "expect": "higher"}
    moments = {"metric": "train/loss", "control_over": "first"}
    values: dict[str, Values] = {
        "val__loss": {"plain": [5.0, 6.0, 7.0]},
        "train__loss": {"plain": [1.0, 1.5, 3.0]},
    }
    work = logged([{**within, "control_metric": "train/loss"}, {**within, **moments}], **values)
    by_metric, by_moment = outcomes(work)
    assert by_metric.verdict == "reproduced"
    assert (
        claim_table.result(work, by_metric)
        == "+4.17 [+3.45, +4.88]; test loss 6.00 against training loss 1.83"
    )
    assert claim_table.result(work, by_moment).endswith(
        "; training loss 1.83 (last epoch) against 1.00 (first)"
    )


def test_a_time_that_was_never_reached_counts_for_no_verdict() -> None:
    work = logged([{}], val__loss={"plain": [9.0, 9.5, 9.2], "warm": [1.0, None, 1.2]})
    (outcome,) = outcomes(work)
    assert outcome.words == "too weak to tell: finished runs without a value: arm: 1 of 3"
    assert outcome.p is None, "and is no test that others are adjusted for"


def test_zero_has_no_ratio() -> None:
    (outcome,) = outcomes(
        logged([{"as": "ratio"}], val__loss={"plain": [0.0, 1.0], "warm": [1.0, 1.2]})
    )
    assert (
        outcome.because
        == "finished runs without a value above 0, which a ratio needs: control: 1 of 2"
    )


def test_p_values_are_adjusted_for_all_directional_claims() -> None:
    work = logged(
        [{}, {"expect": "higher"}, {"expect": "same", "within": 9, "of": 90}],
        val__loss={"plain": [1.0, 2.0, 3.0], "warm": [2.0, 3.1, 4.5]},
    )
    first, second, third = outcomes(work)
    assert first.p == pytest.approx(stats.ttest_rel([2.0, 3.1, 4.5], [1.0, 2.0, 3.0]).pvalue)
    assert [round(claim.adjusted or 0, 6) for claim in (first, second, third)] == [
        round(2 * (first.p or 0), 6)
    ] * 2 + [0]
    assert (first.verdict, second.verdict) == ("contradicted", "reproduced")
    assert second.exact == 0.25
    four = adjusted([first, second, first, second])
    assert [late.words for late in four[:2]] == [
        "contradicted, not after Holm",
        "reproduced, not after Holm",
    ]


def test_with_many_seeds_signs_are_not_flipped() -> None:
    """There are 2^24 ways of flipping those of 24 differences."""
    values: list[float | None] = [float(seed % 5) for seed in range(24)]
    (outcome,) = outcomes(logged([{}], val__loss={"plain": [0.0] * 24, "warm": values}))
    assert (outcome.verdict, outcome.exact) == ("contradicted", None)
    assert outcome.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_a_study_that_is_not_finished_says_so() -> None:
    losses: Values = {"plain": [1.0, 2.0, 3.5, None], "warm": [4.0, 5.0, 6.0, None]}
    work = logged([{}], val__loss=losses)
    assert claim_table.seeds(work, 4) == "4"
    assert claim_table.seeds(work, 3) == "3 of 4"


def test_the_smallest_ratio_lies_on_the_side_of_the_claim() -> None:
    falls, rises = (
        claim_table.smallest(read(**{"as": "ratio", "expect": side}), [0.01, -0.01, 0.02])
        for side in ("lower", "higher")
    )
    assert float(falls.split()[0]) * float(rises.split()[0]) == pytest.approx(1, abs=0.01)
    assert float(falls.split()[0]) < 1


def test_one_seed_is_no_test() -> None:
    (outcome,) = outcomes(logged([{}], val__loss={"plain": [1.0], "warm": [2.0]}))
    assert outcome.words == "not run: one seed"


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            {**CLAIM, "arm": {"arm": "cold"}},
            (
                "claims: B1: arm: .*cold.*: no run has these values; they have arm: plain, warm; "
                "seed: 0, 1"
            ),
        ),
        (
            {**CLAIM, "arm": {"arm": "warm", "seed": 0}, "control": {"arm": "plain", "seed": 1}},
            "claims: B1: control: .*: shares no seed with the runs that it is compared with",
        ),
        (
            {**CLAIM, "control_over": "last 9 epochs"},
            "claims: B1: control_over: last 9 epochs: plain,seed=0 has 3 epochs",
        ),
        ({**CLAIM, "arm": {"bend": None}}, "claims: B1: arm: .*bend.*: no run has these values"),
        ({**CLAIM, "expect": "same"}, "claims: B1: expect: same: needs within"),
        (
            {**CLAIM, "expect": "same", "within": 1},
            "claims: B1: expect: same: needs of: the effect that the margin must be less than half",
        ),
        ({**CLAIM, "expect": "worse"}, "claims: B1: expect: worse: set lower, higher or same"),
        ({"id": "B1"}, "claims: B1: claim: a claim needs it"),
        ("B1", "claims: B1: set keys and values"),
        (
            {**CLAIM, "paper": "93.5 to 81.6 %"},
            "claims: B1: paper: 93.5 to 81.6 %: name the paper with its year and figure",
        ),
        ({**CLAIM, "control_over": "all"}, "claims: B1: control_over: all: set 'last epoch'"),
        ({**CLAIM, "arm": "warm"}, "claims: B1: arm: warm: set variables and their values"),
        ({**CLAIM, "arm": {}}, "claims: B1: arm: .*: several runs of one seed have these values"),
        ({**CLAIM, "metric": "val/acc"}, "claims: B1: metric: val/acc: no run logs it"),
        (
            {**CLAIM, "control_metric": "val/acc"},
            "claims: B1: control_metric: val/acc: is not in the unit of val/accuracy",
        ),
        (
            {**CLAIM, "control": {}},
            "claims: B1: control: .*: several runs",
        ),
        ({**SAME, "within": "little"}, "claims: B1: within: little: set a number"),
        ({**SAME, "within": True}, "claims: B1: within: True: set a number"),
        ({**SAME, "within": 0}, "claims: B1: within: 0.0: set a number above 0"),
        ({**SAME, "within": 2.5}, "claims: B1: within: 2.5: is not less than half of 5.0"),
        ({**SAME, "of": -1.9}, "claims: B1: within: 1.0: is not less than half of -1.9"),
        (
            {**SAME, "as": "ratio", "within": 1.5, "of": 2.0},
            "claims: B1: within: 1.5: is not less than half of 2.0",
        ),
        ({**SAME, "effect": 2}, "claims: B1: effect: 2.0: goes with lower or higher"),
        (
            {**SAME, "of": {"arm": {"arm": "warm"}}},
            "claims: B1: of: control: None: set variables and their values",
        ),
        (
            {**SAME, "of": {**PAIR, "over": "first"}},
            "claims: B1: of: over: it has arm and control only",
        ),
        (
            {**SAME, "of": {**PAIR, "arm": {"arm": "cold"}}},
            "claims: B1: of: arm: .*cold.*: no run has these values",
        ),
        (
            {**CLAIM, "minus": {**PAIR, "control": {"arm": "cold"}}},
            "claims: B1: minus: control: .*cold.*: no run has these values",
        ),
        ({**CLAIM, "minus": 3}, "claims: B1: minus: 3: set arm and control"),
        ({**CLAIM, "effect": 3}, "claims: B1: effect: 3.0: lower needs a number below 0"),
        (
            {**CLAIM, "as": "ratio", "effect": -1},
            "claims: B1: effect: -1: set a finite ratio above 0",
        ),
        (
            {**CLAIM, "as": "ratio", "effect": 1.2},
            "claims: B1: effect: 1.2: lower needs a number below 1",
        ),
        ({**CLAIM, "as": "percent"}, "claims: B1: as: percent: set difference or ratio"),
        ({**CLAIM, "within": 1}, "claims: B1: within: goes with expect: same"),
        (
            {**CLAIM, "control": {"arm": "warm"}},
            "claims: B1: control: is the arm itself; name other runs",
        ),
        ({**CLAIM, "effect": float("-inf")}, "claims: B1: effect: -inf: set a finite number"),
        ({**SAME, "within": float("inf")}, "claims: B1: within: inf: set a finite number"),
        (
            {**CLAIM, "minus": PAIR},
            "claims: B1: minus: is the claim's own difference, which leaves 0; name other runs",
        ),
        (
            {**CLAIM, "paper": "Someone 2020"},
            "claims: B1: paper: Someone 2020: name the paper with its year and figure",
        ),
        (
            {**CLAIM, "as": "ratio", "metric": "val/accuracy", "control_metric": "val/loss"},
            "claims: B1: control_metric: val/loss: is not in the unit of val/accuracy",
        ),
        ({**CLAIM, "than": 1}, "claims: B1: than: a claim has no such key"),
    ],
)
def test_what_is_wrong_with_a_claim_is_said(claim: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_claims(small({"plain": {}, "warm": ARMS["warm"]}, claims=[claim]))


def test_a_variable_that_is_null_may_be_compared() -> None:
    claim = {**CLAIM, "arm": {"clip": 1.0}, "control": {"clip": None}}
    axes = [
        {"clip": [None, 1.0], "trainer.gradient_clip_val": [None, 1.0]},
        {"seed_everything": [0, 1]},
    ]
    assert len(check_claims(small({}, axes=axes, claims=[claim]))) == 1
