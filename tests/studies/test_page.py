"""What a study's page shows, and that nothing of a study can change the page itself."""

import json
from collections import Counter
from html.parser import HTMLParser
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies import scalars
from plasticity_lab.studies.arms import arms
from plasticity_lab.studies.page import curves as curves_module
from plasticity_lab.studies.page import timeline as timeline_module
from plasticity_lab.studies.page import timelines as timelines_module
from plasticity_lab.studies.page.claim_cards import cards
from plasticity_lab.studies.page.curves import curves
from plasticity_lab.studies.page.provenance import cost
from plasticity_lab.studies.page.timeline import Row, Span, Timeline, known_timelines
from plasticity_lab.studies.page.timelines import timelines
from plasticity_lab.studies.page.unfinished import unfinished
from plasticity_lab.studies.report import write_report
from plasticity_lab.studies.study_context import FAILED
from plasticity_lab.studies.verdicts import outcomes
from tests.studies.finished import CLAIM, done
from tests.studies.small import ARMS, acting, small

LOSSES = (4.0, 2.0, 1.0)


class Parsed(HTMLParser):
    """Counts the elements of a page, and collects its attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: dict[str, list[str]] = {}
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.open.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data.strip())


def page(**content: Any) -> tuple[Parsed, dict[str, Any]]:
    """Return the page of a study, and the data of its curves."""
    parsed = Parsed((write_report(done(LOSSES, **content)) / "index.html").read_text())
    (text,) = (text for text in parsed.texts["script"] if text.startswith("{"))
    return parsed, json.loads(text)


def test_a_page_has_all_parts_and_needs_no_network() -> None:
    parsed, data = page()
    headings = ["Question", "Arms over time", "Results", "Curves", "Claims"]
    assert parsed.texts["h2"] == [*headings, "What is missing", "Provenance and cost"]
    assert parsed.texts["h1"] == ["small"]
    assert data["metric"] == "val/accuracy"
    assert [arm["name"] for arm in data["arms"]] == ["plain", "warm"]
    assert [arm["control"] for arm in data["arms"]] == [True, False]

    addresses = parsed.attributes["href"] + parsed.attributes["src"]
    assert all(address.startswith(("#", "data:image/svg+xml;base64,")) for address in addresses)
    assert {address[1:] for address in parsed.attributes["href"]} <= {*parsed.attributes["id"]}
    assert "link" not in parsed.elements
    text = Path("runs/studies/small/report/index.html").read_text()
    assert "@import" not in text
    assert "url(#" in text
    assert text.count("url(") == text.count("url(#"), "styles load nothing"
    assert text.count("http") == text.count("http://www.w3.org/2000/svg")


def test_a_page_can_be_read_aloud() -> None:
    parsed, _ = page()
    assert parsed.elements["table"] == parsed.elements["caption"]
    assert parsed.attributes["lang"] == ["en"]
    assert all(parsed.attributes["alt"])
    assert all(parsed.attributes["aria-label"])
    assert len(parsed.attributes["id"]) == len({*parsed.attributes["id"]})
    # Each picture of an arm and of an interval says in words what it shows.
    assert (
        "UniformGrowth(fractions=[0.5, 1.0]), epochs 0 to 2: 50, epochs 2 to 4: 100"
        in (parsed.attributes["aria-label"])
    )


def test_no_text_of_a_study_becomes_a_part_of_the_page() -> None:
    plain, _ = page(root="before")
    evil = "</script><script>alert(1)</script><b onclick='alert(2)'>&amp;\"'"
    claim = {**CLAIM, "id": evil, "claim": evil, "reported": evil, "paper": f"{evil} 2020, §1"}
    parsed, data = page(claims=[claim], report={"metric": "val/accuracy", "label": evil})
    assert parsed.elements["b"] == plain.elements["b"] == 0
    assert parsed.elements["script"] == plain.elements["script"]
    assert "onclick" not in parsed.attributes
    assert data["curves"]
    assert any(evil in text for text in parsed.texts["h3"]), "it is shown as it is written"


def test_the_question_is_the_comment_of_the_file_and_the_file() -> None:
    work = done()
    text = f"# What is\n# asked?\n{Path('small.yaml').read_text()}# an end\n"
    Path("small.yaml").write_text(text)
    parsed = Parsed((write_report(work) / "index.html").read_text())
    assert "What is asked?" in parsed.texts["p"]
    assert parsed.texts["code"][0] == text.strip()


def logged(work: Any) -> dict[str, Any]:
    listed = arms(work)
    return curves(work, listed, [[0, 1], [2, 3]])


def add(folder: Path, points: list[tuple[int, float]]) -> None:
    """Let a run have logged `x`."""
    scalars.write(folder, {**scalars.read_all(folder), "x": points})


def test_curves_are_means_and_deviations_over_seeds() -> None:
    data = logged(done(LOSSES))
    assert data["time"] == "epoch"
    assert [tag["tag"] for tag in data["tags"]] == ["train/loss", "val/accuracy", "val/loss"]
    (plain, warm) = data["curves"]["val/loss"]
    seeds = pd.DataFrame([[8.0, 4.0, 2.0], [7.9, 3.9, 1.9]])
    assert list(data["moments"][plain["moments"]]) == [1, 2, 3]
    assert plain["mean"] == pytest.approx(seeds.mean().tolist(), rel=1e-4)
    assert plain["sd"] == pytest.approx(seeds.std().tolist(), rel=1e-4)
    assert plain["n"] == [2, 2, 2]
    assert np.array(plain["seeds"]) == pytest.approx(seeds.to_numpy(), rel=1e-4)
    assert (plain["arm"], warm["arm"]) == (0, 1)
    (accuracy, _) = data["curves"]["val/accuracy"]
    assert accuracy["mean"] == pytest.approx([85.0]), "shares are in percent"
    assert data["thinned"] == ""


def test_curves_are_over_steps_where_epochs_are_not_known() -> None:
    data = logged(done())
    assert data["time"] == "optimizer step"
    assert data["moments"] == [(3.0,)]


def test_values_that_are_missing_or_not_finite_do_not_count() -> None:
    work = done()
    for number, values in enumerate([[1.0, nan, 5.0, inf, inf], [3.0, 4.0, nan, 7.0]]):
        add(work.folder(number), list(enumerate(values)))
    (curve,) = logged(work)["curves"]["x"]
    assert curve["n"] == [2, 1, 1, 1, 0]
    assert curve["mean"] == [2.0, 4.0, 5.0, 7.0, None]
    assert curve["sd"] == [pytest.approx(2**0.5, rel=1e-4), None, None, None, None]
    json.dumps(curve, allow_nan=False)


def test_long_curves_are_thinned_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    work = done()
    add(work.folder(0), [(step, float(step)) for step in range(1000)])
    data = logged(work)
    (curve,) = data["curves"]["x"]
    moments = data["moments"][curve["moments"]]
    assert (len(moments), moments[0], moments[-1]) == (300, 0, 999)
    assert curve["mean"] == list(moments), "each is a value that was logged"
    assert data["thinned"] == "Of curves of up to 1000 values 300 are drawn, evenly spaced."

    # With many curves each has less room, and single seeds have none.
    monkeypatch.setattr(curves_module, "_BUDGET", 200)
    monkeypatch.setattr(curves_module, "_SEED_BUDGET", 10)
    data = logged(work)
    assert len(data["curves"]["x"][0]["mean"]) == 50
    assert "Single seeds are not drawn" in data["thinned"]
    assert not any("seeds" in curve for tag in data["curves"].values() for curve in tag)


WINDOWS = {
    "plain": [],
    "blurred for 2": [Row("deficits", "Blur(size=4)", [Span(0, 2)], [])],
    "decay removed at 1": [
        Row("interventions", "WeightDecaySchedule", [Span(1, 3, "0.0", 0.0)], [])
    ],
    "shrunk by half": [
        Row(
            "interventions",
            "ShrinkPerturb(shrink=0.5, perturb=0.1, noise=fresh, scope=all, "
            "norm_statistics=keep, optimizer_state=keep)",
            [],
            [2],
        )
    ],
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_timeline_shows_what_the_config_says(name: str) -> None:
    work = small({"plain": {}, name: ARMS[name]}, seeds=1)
    drawn = timelines(work, arms(work))[-1]
    assert drawn.rows[1:] == WINDOWS[name]
    assert drawn.epochs == (4 if name == "blurred for 2" else 3)
    assert drawn.rows[0] == Row("data", "100 examples", [Span(0, drawn.epochs, "100", 1.0)], [])


def test_a_timeline_shows_stages_of_the_data() -> None:
    work = small({"warm and reset": ARMS["warm and reset"]}, seeds=1)
    (drawn,) = timelines(work, arms(work))
    assert drawn.rows[0].spans == [Span(0, 2, "50", 0.5), Span(2, 4, "100", 1.0)]
    assert drawn.rows[1].marks == [2], "at the beginning of stage 1"


def test_a_moment_in_steps_lies_within_its_epoch() -> None:
    levels = acting("WeightDecaySchedule", levels={"1st": 0.5, "6st": 0.25, "2ep": 0.25})
    again = acting("OptimizerReset", every="1ep")
    both = {"trainer.callbacks+": [*levels["trainer.callbacks+"], *again["trainer.callbacks+"]]}
    work = small({"a": both}, seeds=1)
    (drawn,) = timelines(work, arms(work))
    assert drawn.rows[1].spans == [Span(0.25, 1.5, "0.5", 1.0), Span(1.5, 3, "0.25", 0.5)]
    assert (drawn.rows[2].marks, drawn.rows[2].note) == ([], "every 1ep")


def test_a_timeline_of_stages_that_wait_says_so() -> None:
    until = {"train_accuracy": 0.9, "at_most": "2ep"}
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"fractions": [0.5, 1.0], "until": until},
    }
    arm = {
        "data.init_args.growth": growth,
        "trainer.max_epochs": 4,
        **acting("OptimizerReset", at=["stages"]),
    }
    work = small({"a": arm}, seeds=1)
    data, reset = timelines(work, arms(work))[0].rows
    assert data.note.startswith("UniformGrowth(fractions=[0.5, 1.0]): 50, 100 examples; each stage")
    assert (reset.marks, reset.note) == ([], "at [stages]")


def test_an_arm_that_cannot_be_built_is_listed_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(work: Any, number: int) -> None:
        raise UserError("dataset", problem="is not here")

    work = small({"plain": {}, "blurred": ARMS["blurred for 1"]}, seeds=1)
    monkeypatch.setattr(timelines_module, "build", build)
    monkeypatch.setattr(timeline_module, "MOST_ARMS", 1)
    assert known_timelines(work, arms(work)) == [
        Timeline("plain", 0, [], [], "dataset: is not here")
    ]
    monkeypatch.setattr(timeline_module, "MOST_ARMS", 2)
    blurred = known_timelines(work, arms(work))[1]
    blur = 'Blur(size=4, during=["0ep", "1ep"], levels=none)'
    assert blurred.differs == [f"data.init_args.deficits.Blur: none -> {blur}"]


def test_a_report_fetches_no_data(tmp_path: Path) -> None:
    dataset = {
        "class_path": "datamodules.TorchvisionImages",
        "init_args": {"name": "CIFAR10", "root": str(tmp_path / "data"), "download": True},
    }
    # Data that are read when a run is built would be fetched then.
    work = small({"plain": {}}, seeds=1)
    config = work.opened.config(0)
    arguments = {**config["data"]["init_args"], "dataset": dataset}
    config = {**config, "data": {**config["data"], "init_args": arguments}}
    (drawn,) = timelines(work._replace(opened=work.opened._replace(arms=[config])), arms(work))
    assert "CIFAR10" in drawn.problem
    assert not (tmp_path / "data").exists()


def test_an_interval_lies_where_its_numbers_say() -> None:
    same = {**CLAIM, "id": "B2", "expect": "same", "within": 2.0, "of": -10.0}
    work = done(claims=[CLAIM, same])
    lower, equal = cards(work, outcomes(work))
    # -7.50 [-39.27, +24.27], no effect at 0, margins at ±2: places are linear in these values.
    for card in (lower, equal):
        bar = card.bar
        assert bar is not None
        scale = (bar.high - bar.low) / (24.27 + 39.27)
        assert bar.mean == pytest.approx(bar.low + scale * (39.27 - 7.5), abs=0.02)
        assert bar.none == pytest.approx(bar.low + scale * 39.27, abs=0.02)
        assert 0 < bar.low < bar.high < 100
    assert equal.bar is not None
    assert equal.bar.margins == pytest.approx(
        [equal.bar.none - 2 * scale, equal.bar.none + 2 * scale], abs=0.03
    )
    assert "-7.50 with a 95 % interval from -39.27 to +24.27 points" in equal.bar.text
    assert dict(lower.numbers)["p, Student's t"] == ".205"
    assert (lower.sign, lower.verdict) == ("?", "too weak to tell")


def test_what_failed_is_shown_with_its_last_line() -> None:
    work = done(LOSSES)
    (work.home / FAILED).mkdir()
    state = work.paths[3].states[-1]
    (work.home / FAILED / f"{state}.txt").write_text("Traceback\nRuntimeError: <it> broke\n")
    for number in (2, 3):
        (work.folder(number) / "run.json").write_text("{}")
    assert unfinished(work, [0, 1]) == (
        [(["warm,seed=1"], "RuntimeError: <it> broke", f"{FAILED}/{state}.txt")],
        ["warm,seed=0"],
    )
    parsed = Parsed((write_report(work) / "index.html").read_text())
    assert "RuntimeError: <it> broke" in parsed.texts["code"]
    assert "1 run waits to be trained" in parsed.texts["summary"]
    assert parsed.elements["table"] == parsed.elements["caption"] == 2


def test_runs_without_a_value_are_named() -> None:
    work = done()
    (work.folder(3) / scalars.FILE).unlink()
    parsed = Parsed((write_report(work) / "index.html").read_text())
    (line,) = [text for text in parsed.texts["p"] if "no value" in text]
    assert line.startswith("Of the finished runs 1 have no value of val/accuracy")
    assert line.endswith("warm,seed=1.")
    assert not any(text.startswith("Nothing: all") for text in parsed.texts["p"])


def test_the_cost_counts_shared_segments_once() -> None:
    work = done()
    for number in range(4):
        folder = work.store.root / work.paths[number].states[-1]
        (folder / "state.ckpt").write_bytes(bytes(500_000))
        (folder / "test").mkdir()
        entry = json.loads((folder / "done.json").read_text())
        files = {"state.ckpt": 500_000} if number else {"state.ckpt": 500_000, "gone.txt": 0}
        (folder / "gone.txt").touch()
        (folder / "done.json").write_text(json.dumps({**entry, "state": {}, "files": files}))
    facts = dict(cost(work))
    # Both arms have two seeds; plain has 3 epochs, warm 4.
    assert (facts["epochs of all runs"], facts["epochs trained"]) == ("14", "14")
    assert "saved, as runs share epochs" not in facts
    blurred = dict(cost(small({name: ARMS[name] for name in ("blurred for 1", "blurred for 2")})))
    # Of 2 x (3 + 4) epochs each seed trains the first, blurred one only once.
    assert blurred["epochs of all runs"] == "14"
    assert (blurred["epochs trained"], blurred["saved, as runs share epochs"]) == ("12", "14 %")
    assert facts["time of training, of one job"] == "4 seconds"
    assert facts["on disk, logs and states"] == "2.0 MB"
    work.store.checkpoint(work.paths[0].states[-1]).unlink()
    assert dict(cost(work))["on disk, logs and states"] == "1.5 MB"
