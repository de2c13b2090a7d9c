"""Tables, intervals, verdicts, and what is wrong with them."""

import html
import itertools
import json
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from plasticity_lab.errors import UserError
from plasticity_lab.studies import scalars
from plasticity_lab.studies.curve_figure import draw_curves
from plasticity_lab.studies.figure import draw
from plasticity_lab.studies.frames import curves, measured
from plasticity_lab.studies.metrics import read_over, scale
from plasticity_lab.studies.report import frame, markdown, table, write_report
from plasticity_lab.studies.settings import Settings, settings, shown
from plasticity_lab.studies.wording import axis_words, note
from tests.studies.finished import VALUES, done
from tests.studies.small import ARMS, small


def test_numbers_have_the_digits_that_say_something() -> None:
    for value, metric, expected in (
        (98.5149, "val/accuracy", "98.51"),
        (0.0123456, "diagnostics/margin/median", "0.0123"),
        (1234.56, "diagnostics/fisher/trace", "1,235"),
    ):
        assert f"| 0.2 | {expected} |" in markdown(
            pd.DataFrame({"noise": [0.2], "mean": [value]}), metric
        )


def test_last_epochs_are_averaged(tmp_path: Path) -> None:
    accuracy, loss = [(0, 0.1), (1, 0.2), (2, 0.4)], [(1, 1.0), (3, 0.5)]
    scalars.write(tmp_path, {"val/accuracy": accuracy, "train/loss": loss})
    runs = measured(
        [tmp_path, tmp_path / "none"], [{"seed": 0}, {"seed": 1}], "val/accuracy", "last 2 epochs"
    )
    assert runs.seed.tolist() == [0], "what is not there is left out"
    (tmp_path / "far").mkdir()
    scalars.write(tmp_path / "far", {"val/loss": [(0, 1.0), (1, float("inf"))]})
    assert measured([tmp_path / "far"], [{"seed": 0}], "val/loss", "last epoch").empty
    assert runs.value.tolist() == pytest.approx([70 / 3]), "both epochs"
    points = curves([tmp_path], [{"seed": 0}], "val/accuracy")
    assert points.step.tolist() == [0, 1, 2]
    assert points.epoch.tolist() == [0.0, 1.0, 1.5], (
        "an epoch ends where its training loss is logged"
    )
    assert points.value.tolist() == pytest.approx([10, 20, 40])


def test_values_over_time_become_one() -> None:
    points = [(3, 1.0), (10, 5.0), (20, 2.0), (40, 4.0)]
    expected = {
        "first": 1,
        "largest": 5,
        "last epoch": 4,
        "last 2 epochs": 3,
        "last 9 epochs": 3,
        "first 3 epochs": 8 / 3,
        "at 0%": 1,
        "at 25%": 5,
        "at 99%": 2,
    }
    assert {text: read_over(text)(points, []) for text in expected} == expected


def test_epochs_are_counted_and_not_values() -> None:
    """Every second of six epochs is validated, the first three of one step, the others of ten."""
    ends = [0, 1, 2, 12, 22, 32]
    points = [(1, 1.0), (12, 2.0), (32, 4.0)]
    expected = {
        "last epoch": 4,
        "last 1 epochs": 4,
        "last 2 epochs": 4,
        "last 3 epochs": 3,
        "last 6 epochs": 7 / 3,
        "first 1 epochs": 1,
        "first 2 epochs": 1,
        "first 4 epochs": 1.5,
    }
    assert {text: read_over(text)(points, ends) for text in expected} == expected
    assert read_over("last 2 epochs")(points[:2], ends) == 2, "the last one there is"


def runs() -> pd.DataFrame:
    return pd.DataFrame(
        [{"arm": arm, "seed": seed, "value": 100 * value} for (arm, seed), value in VALUES.items()]
    )


def test_a_table_has_means_deviations_and_paired_differences() -> None:
    shown = table(runs(), Settings(control="plain", paper={"warm": 74.4})).set_index("arm")
    assert shown.loc["warm", "mean"] == pytest.approx(mean([70, 85, 74]))
    assert shown.loc["warm", "sd"] == pytest.approx(stdev([70, 85, 74]))
    assert shown.loc["warm", "difference"] == pytest.approx(mean([-10, -5, -11]))
    assert shown.loc["plain", "difference"] == 0
    assert shown.loc["warm", "paper"] == 74.4


def test_each_hue_has_its_own_control() -> None:
    two_nets = pd.concat(
        [
            runs().assign(net="a"),
            runs().assign(
                net="b", value=lambda frame: frame.value + frame.seed * (frame.arm == "warm")
            ),
        ]
    )
    shown = table(two_nets, Settings(hue="net", control="plain")).set_index(["net", "arm"])
    assert shown.loc[("b", "warm"), "difference"] - shown.loc[
        ("a", "warm"), "difference"
    ] == pytest.approx(1)


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (Settings(x="seed", hue="arm"), {"seed", "arm", "one seed", "plain", "warm"}),
        (
            Settings(
                figure="bar", control="plain", paper={"warm": 70, "other": 3, "plain": "about 80"}
            ),
            {"mean ± s.d. of 3 seeds", "control (plain)", "paper"},
        ),
        (Settings(x="seed", label="which"), {"which", "one seed"}),
        (Settings(x="seed", hue="arm", control=0), {"control (seed 0)"}),
    ],
)
def test_a_figure_names_what_it_shows(chosen: Settings, named: set[str], tmp_path: Path) -> None:
    value_label = axis_words("val/accuracy", "last 5 epochs", small({"plain": {}}).opened.arms)
    draw(runs(), chosen, value_label, tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 5000
    axis = {"test accuracy (%)", "mean of the last 5 epochs", "val split = test split"}
    assert texts(tmp_path) >= axis | named


def texts(folder: Path) -> set[str]:
    """Return the lines of text in a figure."""
    text = (folder / "figure.svg").read_text()
    lines = re.findall("<text[^>]*>(.*?)</text>", text)
    return {part for line in lines for part in html.unescape(line).split("; ")}


def test_curves_are_over_epochs_where_these_are_known(tmp_path: Path) -> None:
    points = pd.concat([runs().assign(step=step, epoch=step / 4) for step in (0, 10, 20)])
    draw_curves(points, Settings(figure="curve", control="plain"), "test accuracy (%)", tmp_path)
    assert texts(tmp_path) >= {"epoch", "arm", "mean ± s.d. of 3 seeds", "dashed: control"}
    draw_curves(
        points.assign(epoch=float("nan")), Settings(figure="curve"), "test accuracy (%)", tmp_path
    )
    assert texts(tmp_path) >= {"optimizer step"}
    assert "dashed: control" not in texts(tmp_path)


def test_a_figure_is_one_column_wide_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    once, again = tmp_path / "once", tmp_path / "again"
    for folder in (once, again):
        folder.mkdir()
        draw(runs(), Settings(control="plain", figure="bar"), "test accuracy (%)", folder)
    for kind in ("png", "svg", "pdf"):
        assert (once / f"figure.{kind}").read_bytes() == (again / f"figure.{kind}").read_bytes()
    width = re.search(r'<svg[^>]* width="([\d.]+)pt"', (once / "figure.svg").read_text())
    assert width is not None
    assert float(width[1]) / 72 * 25.4 == pytest.approx(89, abs=0.1), "mm"
    assert b"/FontFile2" in (once / "figure.pdf").read_bytes(), "letters, not outlines"


@pytest.mark.parametrize("arms", [20, 32])
def test_names_of_many_arms_do_not_touch(arms: int, tmp_path: Path) -> None:
    names = [f"shrink and perturb by {arm}" for arm in range(arms)]
    rows = pd.DataFrame({"arm": names, "seed": 0, "value": 70.0})
    draw(rows, Settings(figure="bar"), "test accuracy (%)", tmp_path)
    svg = (tmp_path / "figure.svg").read_text()
    upright = r'translate\(([\d.]+) [\d.]+\) rotate\(-90\)">shrink'
    across = [float(at) for at in re.findall(upright, svg)]
    assert len(across) == arms
    # The lines of letters of 7 points are 8.2 high.
    assert min(right - left for left, right in itertools.pairwise(across)) > 8.2


def test_metrics_have_names() -> None:
    configs = small(
        {"plain": {}}, set={"data.init_args.dataset.init_args.validation": 0.2}
    ).opened.arms
    assert axis_words("val/loss", None, configs) == "validation loss"
    assert (
        axis_words("diagnostics/fisher/trace", "at 10%", configs)
        == "Fisher information, trace\nafter 10 % of the run"
    )
    assert axis_words("test/accuracy", "largest", configs) == "test accuracy (%)\nlargest value"
    assert axis_words("lr-SGD", None, configs) == "lr-SGD"


def test_a_report_is_written_from_what_is_done() -> None:
    work = done()
    for seed, events in enumerate([[0, 1, 2, 5], [2, 2, 9, 1]]):
        # Example 2 has a wrong label in one of the seeds, and example 3 is never learned.
        wrong = seed * 2
        rows = []
        for index, count in enumerate(events):
            learned, score = ("", 10) if index == 3 else (0, count)
            rows.append(f"{index},7,{int(index == wrong != 0)},10,{learned},{count},{score}")
        folder = next(
            work.folder(number)
            for number, run in enumerate(work.study.runs)
            if run.values == {"arm": "warm", "seed": seed}
        )
        columns = "index,label,wrong_label,presentations,first_learned,events,score"
        (folder / "forgetting.csv").write_text("\n".join([columns, *rows]))
    (work.folder(0) / "run.json").write_text(json.dumps({"state": "of other settings"}))
    assert len(frame(work, "val/accuracy", "last epoch")) == 3, (
        "numbers of other settings do not count"
    )
    (work.folder(0) / "run.json").write_text(json.dumps({"state": work.paths[0].states[-1]}))
    folder = write_report(work)
    assert {file.name for file in folder.iterdir()} == {
        "table.csv",
        "table.md",
        "claims.md",
        "figure.pdf",
        "figure.png",
        "figure.svg",
        "index.html",
    }
    assert pd.read_csv(folder / "table.csv")["difference"].tolist() == pytest.approx([0, -7.5])
    text = (folder / "table.md").read_text()
    assert text.startswith("test accuracy, last epoch (val/accuracy; val split = test split)\n")
    # An example never learned ranks highest.
    alike = f"{stats.spearmanr([0, 1, 10], [2, 2, 10]).statistic:.2f}"
    assert (
        "under their own labels alike (Spearman's correlation, mean over pairs): arm warm: "
        f"{alike}."
    ) in text
    assert "seeds 0, 1; commits 0123456, 0123456+; cpu" in text
    claims = (folder / "claims.md").read_text()
    row = (
        "| **B1** c<br>P 2020, §1 |  | -7.50 [-39.27, +24.27] points; test accuracy 77.50 "
        "against 85.00 | **too weak to tell**: "
    )
    assert row in claims
    assert claims.splitlines()[2].endswith(
        "needs 5 seeds for the difference seen | 2 | .205 | .500 | .205 | 40.84 points |"
    )


def test_a_split_held_out_is_no_test(tmp_path: Path) -> None:
    work = done(set={"data.init_args.dataset.init_args.validation": 0.2})
    assert (
        (write_report(work) / "table.md")
        .read_text()
        .startswith("validation accuracy, last epoch (val/accuracy)\n")
    )


def test_a_metric_that_no_run_has_logged_is_named_with_those_that_were() -> None:
    with pytest.raises(
        UserError,
        match=(
            "report: metric: train/accuracy: no finished run of small has logged it; they have "
            "val/accuracy"
        ),
    ):
        write_report(done(report={"metric": "train/accuracy"}, claims=[]))


def test_a_variable_that_is_null_is_none_and_may_be_the_control() -> None:
    axes = [
        {"clip": [None, 1.0], "trainer.gradient_clip_val": [None, 1.0]},
        {"seed_everything": [0, 1]},
    ]
    chosen = settings(small({}, axes=axes, report={"x": "clip", "control": None}))
    assert (chosen.control, chosen.figure) == (None, "bar")
    rows = [
        {"clip": shown(clip), "seed": seed, "value": value}
        for clip, seed, value in ((None, 0, 5.0), (1.0, 0, 7.0), (1.0, 1, 7.0))
    ]
    compared = table(pd.DataFrame(rows), chosen)
    assert compared["clip"].tolist() == ["none", 1.0]
    assert compared["difference"].tolist() == [0.0, 2.0]
    assert markdown(compared, "val/accuracy").splitlines()[2].startswith("| none | 1 | 5.00 |")
    draw(pd.DataFrame(rows), chosen, "test accuracy (%)", Path())
    assert Path("figure.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (
            {"metric": "val/acc"},
            "report: metric: val/acc: no run logs it; they log .*test/accuracy",
        ),
        ({"x": "removed"}, "report: x: removed: is no variable of the study; it has arm, seed"),
        ({"control": "cold"}, "report: control: cold: is no value of arm"),
        (
            {"over": "5"},
            "report: over: 5: set 'last epoch', 'last 5 epochs', 'first 5 epochs', 'first', "
            "'largest' or 'at 10%'",
        ),
        ({"over": 5}, "report: over: 5: set 'last epoch'"),
        ({"over": "last 0 epochs"}, "report: over: last 0 epochs: set"),
        (
            {"over": "last 4 epochs"},
            "report: over: last 4 epochs: plain,seed=0 has 3 epochs; set fewer",
        ),
        ({"over": "at 200%"}, "report: over: at 200%: set"),
        ({"x": "seed"}, "report: x: seed: 2 runs are 0, 0; set hue to one of arm"),
        ({"figure": "pie"}, "report: figure: pie: set one of line, bar, curve"),
        ({"colour": "red"}, "report: colour: a report has no such key"),
    ],
)
def test_what_is_wrong_with_a_report_is_said(report: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(small({"plain": {}, "warm": ARMS["warm"]}, seeds=1, report=report))


def test_a_line_needs_numbers() -> None:
    axes = [{"removed": [0, "never"], "trainer.max_epochs": [2, 3]}]
    with pytest.raises(
        UserError, match="report: figure: line: removed has numbers and other values; set bar"
    ):
        settings(small({}, axes=axes, report={"figure": "line"}))
    assert settings(small({}, axes=axes)).figure == "bar"


def test_what_callbacks_log_may_be_reported() -> None:
    monitor = {
        "trainer.callbacks+": [{"class_path": "pytorch_lightning.callbacks.LearningRateMonitor"}]
    }
    assert settings(small({"plain": monitor}, report={"metric": "lr-SGD"})).metric == "lr-SGD"


def test_accuracies_are_in_percent_and_told_to_be_of_the_test_split() -> None:
    data = {"init_args": {"dataset": {"init_args": {"validation": "test"}}}}
    held_out = {"init_args": {"dataset": {"init_args": {"validation": 0.1}}}}
    for metric in ("val/accuracy", "diagnostics/stage_accuracy/average"):
        assert scale(metric) == 100
        assert note(metric, [{"data": data}])
        assert not note(metric, [{"data": held_out}])
    assert scale("diagnostics/trainability/labels/accuracy/aged") == 100
    for metric in ("train/loss", "diagnostics/time_to_accuracy/train_0.9/epochs"):
        assert scale(metric) == 1
        assert not note(metric, [{"data": data}])
