"""Tables, intervals, verdicts, and what is wrong with them."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from errors import UserError
from run_log import RunLog
from studies.figure import draw, draw_curves
from studies.ledger import check_claims, ledger, verdict, write_ledger
from studies.measure import Difference, curves, difference, measured, read_over
from studies.report import Settings, frame, markdown, settings, table, write_report
from tests.studies.small import ARMS, small

VALUES = {("plain", 0): 0.80, ("plain", 1): 0.90, ("plain", 2): 0.85, ("warm", 0): 0.70, ("warm", 1): 0.85, ("warm", 2): 0.74}


def test_an_interval_is_students() -> None:
    one, other = {0: 5.0, 1: 7.0, 2: 6.5}, {0: 4.0, 1: 5.0, 2: 6.0, 9: 100.0}
    gap = difference(one, other)
    expected = stats.ttest_rel([5.0, 7.0, 6.5], [4.0, 5.0, 6.0]).confidence_interval(0.95)
    assert gap.mean == pytest.approx(7 / 6)
    assert (gap.low, gap.high) == pytest.approx((expected.low, expected.high))
    assert gap.pairs == 3
    assert difference({0: 1.0}, {0: 2.0}) == Difference(-1.0, float("-inf"), float("inf"), 1)
    assert difference({0: 1.0}, {}).pairs == 0


def test_numbers_have_the_digits_that_say_something() -> None:
    for value, metric, expected in (
        (98.5149, "val/accuracy", "98.51"),
        (0.0123456, "diagnostics/margin/median", "0.0123"),
        (1234.56, "diagnostics/fisher/trace", "1,235"),
    ):
        assert f"| 0.2 | {expected} |" in markdown(pd.DataFrame({"noise": [0.2], "mean": [value]}), metric)


def test_last_epochs_are_averaged(tmp_path: Path) -> None:
    log = RunLog(tmp_path, lambda: True)
    for step, value in enumerate([0.1, 0.2, 0.4]):
        log.log_metrics({"val/accuracy": value}, step)
    log.finalize("success")
    runs = measured([tmp_path, tmp_path / "none"], [{"seed": 0}, {"seed": 1}], "val/accuracy", "last 2 epochs")
    assert runs.seed.tolist() == [0], "what is not there is left out"
    assert runs.value.tolist() == pytest.approx([30.0])
    points = curves([tmp_path], [{"seed": 0}], "val/accuracy")
    assert points.step.tolist() == [0, 1, 2]
    assert points.value.tolist() == pytest.approx([10, 20, 40])


def test_values_over_time_become_one() -> None:
    points = [(3, 1.0), (10, 5.0), (20, 2.0), (40, 4.0)]
    expected = {
        "first": 1,
        "largest": 5,
        "last epoch": 4,
        "last 2 epochs": 3,
        "last 9 epochs": 3,
        "at 0%": 1,
        "at 25%": 5,
        "at 99%": 2,
    }
    assert {text: read_over(text)(points) for text in expected} == expected


def runs() -> pd.DataFrame:
    return pd.DataFrame([{"arm": arm, "seed": seed, "value": 100 * value} for (arm, seed), value in VALUES.items()])


def test_a_table_has_means_deviations_and_paired_differences() -> None:
    shown = table(runs(), Settings(control="plain", paper={"warm": 74.4})).set_index("arm")
    assert shown.loc["warm", "mean"] == pytest.approx(mean([70, 85, 74]))
    assert shown.loc["warm", "sd"] == pytest.approx(stdev([70, 85, 74]))
    assert shown.loc["warm", "difference"] == pytest.approx(mean([-10, -5, -11]))
    assert shown.loc["plain", "difference"] == 0
    assert shown.loc["warm", "paper"] == 74.4


def test_each_hue_has_its_own_control() -> None:
    both = pd.concat([runs().assign(net="a"), runs().assign(net="b", value=lambda one: one.value + one.seed * (one.arm == "warm"))])
    shown = table(both, Settings(hue="net", control="plain")).set_index(["net", "arm"])
    assert shown.loc[("b", "warm"), "difference"] - shown.loc[("a", "warm"), "difference"] == pytest.approx(1)


@pytest.mark.parametrize(
    "chosen",
    [
        Settings(x="seed", hue="arm"),
        Settings(figure="bar", paper={"warm": 70, "other": 3, "plain": "about 80"}),
        Settings(x="seed"),
    ],
)
def test_figures_are_drawn(chosen: Settings, tmp_path: Path) -> None:
    draw(runs(), chosen, tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert "<svg" in (tmp_path / "figure.svg").read_text()


def test_curves_are_drawn(tmp_path: Path) -> None:
    points = pd.concat([runs().assign(step=step) for step in (0, 10, 20)])
    draw_curves(points, Settings(figure="curve"), tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("low", "high", "expect", "said"),
    [
        (-9, -1, "lower", "reproduced"),
        (1, 9, "lower", "contradicted"),
        (-9, 1, "lower", "not seen at this scale"),
        (1, 9, "higher", "reproduced"),
        (-9, -1, "higher", "contradicted"),
        (-1, 1.5, "same", "reproduced"),
        (-1, 5, "same", "not seen at this scale"),
        (3, 5, "same", "contradicted"),
    ],
)
def test_a_verdict_follows_from_the_interval(low: float, high: float, expect: str, said: str) -> None:
    assert verdict(Difference((low + high) / 2, low, high, 5), expect, 2) == said


CLAIM = {"id": "B1", "claim": "c", "paper": "p", "arm": {"arm": "warm"}, "control": {"arm": "plain"}, "expect": "lower"}


def test_report_and_ledger_are_written_from_what_is_done() -> None:
    work = small(
        {"plain": {}, "warm": ARMS["warm"]}, seeds=2, report={"metric": "val/accuracy", "control": "plain"}, claims=[CLAIM]
    )
    with pytest.raises(UserError, match="ledger: no claim has two finished runs"):
        ledger([work])
    with pytest.raises(UserError, match="report: no run of small is done; train some"):
        write_report(work)
    for number, run in enumerate(work.study.runs):
        folder = work.folder(number)
        log = RunLog(folder, lambda: True)
        log.log_metrics({"val/accuracy": VALUES[run.values["arm"], run.values["seed"]]}, 3)
        log.finalize("success")
        (folder / "run.json").write_text(json.dumps({"state": work.paths[number].states[-1]}))
        if run.values["arm"] == "warm":
            events = [[0, 1, 5], [2, 2, 1]][run.values["seed"]]
            rows = [f"{index},7,10,{'' if index == 2 else 0},{count}" for index, count in enumerate(events)]
            (folder / "forgetting.csv").write_text("\n".join(["index,label,presentations,first_learned,events", *rows]))
    (work.folder(0) / "run.json").write_text(json.dumps({"state": "of other settings"}))
    assert len(frame(work, "val/accuracy", "last epoch")) == 3, "numbers of other settings do not count"
    (work.folder(0) / "run.json").write_text(json.dumps({"state": work.paths[0].states[-1]}))
    folder = write_report(work)
    assert {file.name for file in folder.iterdir()} == {"table.csv", "table.md", "figure.png", "figure.svg"}
    assert pd.read_csv(folder / "table.csv")["difference"].tolist() == pytest.approx([0, -7.5])
    text = write_ledger([work], Path()).read_text()
    assert "![small](docs/results/small.png)" in text
    assert Path("docs/results/small.png").read_bytes() == (folder / "figure.png").read_bytes()
    assert "| **B1** c | p | -7.50 [" in text
    alike = f"{np.corrcoef([0, 1, 10], [2, 2, 10])[0, 1]:.2f}"  # of an example never learned, its presentations
    assert f"correlate (Pearson, mean over pairs) with arm warm: {alike}." in text
    assert alike in (folder / "table.md").read_text()
    assert "2 seeds | not seen at this scale" in text


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ({"metric": "val/acc"}, "report: metric: val/acc: no run logs it; they log test/accuracy"),
        ({"x": "removed"}, "report: x: removed: is no variable of the study; it has arm, seed"),
        ({"control": "cold"}, "report: control: cold: is no value of arm"),
        ({"over": "5"}, "report: over: 5: write 'last epoch', 'last 5 epochs', 'first', 'largest' or 'at 10%'"),
        ({"over": 5}, "report: over: 5: write 'last epoch'"),
        ({"over": "last 0 epochs"}, "report: over: last 0 epochs: write"),
        ({"x": "seed"}, "report: x: seed: 2 runs are 0, 0; set hue to one of arm"),
        ({"figure": "pie"}, "report: figure: pie: write line, bar, curve"),
        ({"colour": "red"}, "report: colour: a report has no such key"),
    ],
)
def test_what_is_wrong_with_a_report_is_said(report: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(small({"plain": {}, "warm": ARMS["warm"]}, seeds=1, report=report))


def test_a_line_needs_numbers() -> None:
    axes = [{"removed": [0, "never"], "trainer.max_epochs": [2, 3]}]
    with pytest.raises(UserError, match="report: figure: line: removed has numbers and texts; write bar"):
        settings(small({}, axes=axes))


def test_what_callbacks_log_may_be_reported() -> None:
    assert settings(small({"plain": {}}, report={"metric": "lr-SGD"})).metric == "lr-SGD"


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({**CLAIM, "arm": {"arm": "cold"}}, "claims: B1: arm: .*cold.*: no run has these values"),
        ({**CLAIM, "expect": "same"}, "claims: B1: expect: write lower, higher, or same with within"),
        ({"id": "B1"}, "claims: B1: arm: a claim needs it"),
        ("B1", "claims: B1: write keys and values"),
        ({**CLAIM, "control_over": "all"}, "claims: B1: control_over: all: write 'last epoch'"),
        ({**CLAIM, "arm": "warm"}, "claims: B1: arm: warm: no run has these values"),
        ({**CLAIM, "arm": {}}, "claims: B1: arm: .*: several runs of one seed have these values"),
        ({**CLAIM, "metric": "val/acc"}, "metric: val/acc: no run logs it"),
        ({**CLAIM, "expect": "same", "within": "little"}, "claims: B1: within: little: write a number"),
        ({**CLAIM, "than": 1}, "claims: B1: than: a claim has no such key"),
    ],
)
def test_what_is_wrong_with_a_claim_is_said(claim: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_claims(small({"plain": {}, "warm": ARMS["warm"]}, claims=[claim]))
