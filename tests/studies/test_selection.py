"""Coefficients are chosen on validation with seeds of their own, before a study is run."""

import json
from pathlib import Path
from typing import Any

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies import local_engine, scalars
from plasticity_lab.studies.commands import run
from plasticity_lab.studies.main import main
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.phases import described
from plasticity_lab.studies.random_search import drawn
from plasticity_lab.studies.selection import Choice, Selection, choose
from plasticity_lab.studies.study_context import StudyContext
from tests.studies.small import small

HELD_OUT = {"data.init_args.dataset.init_args.validation": 0.2}
SELECT = {"on": "val/accuracy", "over": ["shrink"], "seeds": [100, 101]}
SHRINK = {
    "class_path": "callbacks.ShrinkPerturb",
    "init_args": {"at": ["1ep"], "shrink": "{shrink}", "perturb": 0.0},
}


def study(select: dict[str, Any] | None = None, **content: Any) -> StudyContext:
    """Open a study of two rates, each with the best of three factors."""
    axes = [
        {"rate": [0.1, 0.2], "model.init_args.optimizer.init_args.lr": [0.1, 0.2]},
        {"shrink": [0.2, 0.5, 0.8]},
        {"seed_everything": [0, 1]},
    ]
    report = {"metric": "val/accuracy", "x": "rate"}
    common = {**HELD_OUT, "trainer.callbacks": [SHRINK], "trainer.max_epochs": 2}
    keys: dict[str, Any] = {
        "axes": axes,
        "set": common,
        "report": report,
        "select": {**SELECT, **(select or {})},
    }
    keys |= content
    return small(keys.pop("arms", {}), **keys)


def reopened() -> StudyContext:
    return open_study(Path("small.yaml"), Path("runs").absolute())


def finish(work: StudyContext, values: dict[str, float]) -> None:
    """Let all runs have logged an accuracy, by the arm's name and with a little noise by seed."""
    for number, one in enumerate(work.study.runs):
        folder = work.folder(number)
        folder.mkdir(parents=True)
        accuracy = values[one.values["arm"]] + one.values["seed"] % 2 / 100
        scalars.write(folder, {"val/accuracy": [(0, 0.99), (3, accuracy)]})
        (folder / "run.json").write_text(json.dumps({"state": work.paths[number].states[-1]}))
    entry = {"file": str(Path("small.yaml").absolute()), "chooses_for": work.study.chooses_for}
    (work.home / "study.json").write_text(json.dumps(entry))


VALUES = {
    "rate=0.1,shrink=0.2": 0.5,
    "rate=0.1,shrink=0.5": 0.7,
    "rate=0.1,shrink=0.8": 0.6,
    "rate=0.2,shrink=0.2": 0.8,
    "rate=0.2,shrink=0.5": 0.7,
    "rate=0.2,shrink=0.8": 0.8,
}


def test_candidates_are_trained_with_the_seeds_of_the_selection() -> None:
    work = study()
    assert (work.study.name, work.study.chooses_for) == ("small-selection", "small")
    names = [one.name for one in work.study.runs]
    assert names == [f"{name},seed={seed}" for name in VALUES for seed in (100, 101)]
    seeds = {work.opened.config(number)["seed_everything"] for number in range(len(names))}
    assert seeds == {100, 101}


def test_a_selection_is_read_as_it_is_written() -> None:
    """YAML 1.1 takes a bare `on` for true."""
    study()
    text = Path("small.yaml").read_text()
    bare = text.replace("\n  'on': ", "\n  on: ")
    assert bare != text
    Path("small.yaml").write_text(bare)
    assert reopened().study.chooses_for == "small"


def test_the_best_of_each_arm_is_run_with_fresh_seeds() -> None:
    finish(study(), VALUES)
    work = reopened()
    assert (work.study.name, work.study.chooses_for) == ("small", "")
    names = [one.name for one in work.study.runs]
    # Of equal candidates the first one counts.
    assert names == [
        "rate=0.1,shrink=0.5,seed=0",
        "rate=0.1,shrink=0.5,seed=1",
        "rate=0.2,shrink=0.2,seed=0",
        "rate=0.2,shrink=0.2,seed=1",
    ]
    configs = [work.opened.config(number) for number in range(4)]
    shrinks = [config["trainer"]["callbacks"][-1]["init_args"]["shrink"] for config in configs]
    assert shrinks == [0.5, 0.5, 0.2, 0.2]
    assert described(work.study) == (
        "Chosen by the highest val/accuracy, last epoch, mean of seeds 100, 101: "
        "rate 0.1: shrink 0.5 (70.5, of 3 candidates); "
        "rate 0.2: shrink 0.2 (80.5, of 3 candidates)."
    )


def test_nothing_is_chosen_before_every_candidate_is_trained_or_has_failed() -> None:
    work = study()
    finish(work, VALUES)
    (work.folder(3) / "run.json").unlink()
    assert reopened().study.chooses_for == "small"
    (work.home / "failed").mkdir()
    failed = work.home / "failed" / f"{work.paths[3].states[-1]}.txt"

    # A run that is killed may yet be trained; one whose loss is not finite never is.
    failed.write_text("ended by signal 9\nkilled 4 times: ended by signal 9")
    assert reopened().study.chooses_for == "small"
    failed.write_text("error: the loss\nwould fail again: train.py: error: the loss is nan")
    chosen = reopened().study
    assert [choice.chosen["shrink"] for choice in chosen.choices] == [0.8, 0.2]
    assert [choice.failed for choice in chosen.choices] == [1, 0]


@pytest.mark.parametrize(
    ("select", "content", "message"),
    [
        ({"on": "test/accuracy"}, {}, "select: on: test/accuracy: coefficients are not chosen on"),
        (
            {"over": ["nothing"]},
            {},
            "select: over: nothing: is no variable of axes; they have rate",
        ),
        ({"seeds": [1, 100]}, {}, "select: seeds: 1: is a seed of the study, whose numbers would"),
        ({"seeds": []}, {}, "select: seeds: a selection needs it"),
        ({"seeds": 100}, {}, "select: seeds: 100: set a list"),
        ({"seeds": [100, 100]}, {}, "select: seeds: [100, 100]: name each once"),
        ({"on": 5}, {}, "select: on: 5: set a metric such as val/accuracy"),
        (
            {},
            {"axes": [{"rate": [0.1, 0.2], "shrink": [0.2, 0.5]}, {"seed_everything": [0]}]},
            "select: over: shrink: rate moves together with what is chosen; add rate, or give it",
        ),
        *(
            (
                {},
                {"axes": [{"rate": [0.1]}, {"shrink": [0.2, 0.5]}, *seeds], **content},
                "select: replaces the seeds of a study by its own; set seed_everything in an entry",
            )
            for seeds, content in (
                ([], {}),
                ([{"seed_everything": [0, 1], "trainer.max_epochs": [1, 2]}], {}),
                ([{"seed_everything": [0]}], {"arms": {"a": {"seed_everything": 3}}}),
            )
        ),
        (
            {},
            {"axes": [{"rate": [0.1]}, {"shrink": [0.2]}, {"seed_everything": [[0]]}]},
            "axes: seed_everything: [[0]]: set a list of whole numbers",
        ),
        ({"by": 1}, {}, "select: by: a selection has no such key; it has on, over, seeds"),
        ({"read": "median"}, {}, "select: read: median: set 'last epoch'"),
        ({"on": "val/other"}, {}, "select: best: None: set highest or lowest"),
        ({"over": ["rate"]}, {}, "report: x: rate: is chosen for each arm"),
        (
            {},
            {"set": {"trainer.callbacks": [SHRINK], "trainer.max_epochs": 2}},
            "select: on: val/accuracy: is measured on the test split, which must not choose; set",
        ),
    ],
)
def test_a_selection_that_would_mislead_is_refused(
    select: dict[str, Any], content: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as refused:
        study(select, **content)
    assert message in str(refused.value)


def test_a_metric_may_be_best_where_it_is_lowest() -> None:
    candidates = [{"a": a, "b": b, "seed": 9} for a in (1, 2) for b in (1, 2)]
    selection = Selection("val/loss", ("b",), (9,), "last epoch", "lowest")
    choices = choose(selection, candidates, [0.3, 0.2, 0.1, None])
    assert choices == [
        Choice({"a": 1}, {"b": 2}, 0.2, 2, 0),
        Choice({"a": 2}, {"b": 1}, 0.1, 2, 1),
    ]
    with pytest.raises(UserError, match="all 2 candidates have failed"):
        choose(selection, candidates, [0.3, 0.2, None, float("nan")])


def test_draws_are_the_same_each_time_and_more_of_them_keep_the_first() -> None:
    rates = drawn("rate", {"log_uniform": [1e-4, 1.0], "draws": 400})
    assert rates[:20] == drawn("rate", {"log_uniform": [1e-4, 1.0], "draws": 20})
    assert rates[:20] != drawn("decay", {"log_uniform": [1e-4, 1.0], "draws": 20})
    assert all(1e-4 <= rate <= 1 for rate in rates)
    # A quarter of the draws lies in each of four decades.
    for power in range(-4, 0):
        share = sum(10**power <= rate < 10 ** (power + 1) for rate in rates) / 400
        assert share == pytest.approx(0.25, abs=0.07)
    uniform = drawn("x", {"uniform": [2, 4], "draws": 400})
    assert sum(uniform) / 400 == pytest.approx(3, abs=0.1)
    assert sorted(drawn("e", {"integers": [1, 3], "draws": 2})) in ([1, 2], [1, 3], [2, 3])
    integers = [drawn(f"n{key}", {"integers": [1, 3], "draws": 1})[0] for key in range(100)]
    assert set(integers) == {1, 2, 3}
    choices = [drawn(f"c{key}", {"choice": ["a", "b"], "draws": 1})[0] for key in range(100)]
    assert set(choices) == {"a", "b"}
    assert drawn("x", {"uniform": [0.12341, 0.12344], "draws": 1})[0] == 0.12341, "within the range"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"log_uniform": [0, 1], "draws": 2}, "has a logarithm; set numbers above 0"),
        ({"uniform": [1, 1], "draws": 2}, "set two numbers, the smaller one first"),
        ({"integers": [0.5, 1], "draws": 2}, "set two whole numbers"),
        ({"normal": [0, 1], "draws": 2}, "set a list of values, or one of uniform, log_uniform"),
        ({"uniform": [0, 1]}, "with draws, their number"),
        ({"uniform": [0, 1], "draws": 0}, "with draws, their number"),
        ({"choice": [], "draws": 2}, "set a list"),
        ({"choice": ["a"], "draws": 2}, "there are not so many values to draw; set fewer draws"),
        ({"uniform": [0, float("inf")], "draws": 2}, "set two numbers"),
        ({"integers": [0, 10**400], "draws": 2}, "set two whole numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        drawn("rate", entry)
    assert message in str(refused.value)


def test_an_axis_may_be_drawn() -> None:
    key = "model.init_args.optimizer.init_args.lr"
    rates = {"log_uniform": [0.01, 1.0], "draws": 3}
    work = small({}, axes=[{"rate": rates}, {"seed_everything": [0, 1]}], set={key: "{rate}"})
    assert len(work.study.runs) == 6
    assert [run.values["rate"] for run in work.study.runs[::2]] == drawn("rate", rates)
    assert [run.overrides[key] for run in work.study.runs[::2]] == drawn("rate", rates)


def test_one_arm_on_the_test_split_is_enough_to_refuse() -> None:
    arms = {"held out": HELD_OUT, "not": {}}
    with pytest.raises(UserError, match="is measured on the test split, which must not choose"):
        study(arms=arms, set={"trainer.callbacks": [SHRINK], "trainer.max_epochs": 2})


def test_a_control_that_does_not_use_what_is_chosen_has_one_candidate() -> None:
    arms = {"plain": {}, "shrunk": {"trainer.callbacks": [SHRINK]}}
    axes = [{"shrink": [0.2, 0.5]}, {"seed_everything": [0, 1]}]
    content = {"arms": arms, "axes": axes, "set": HELD_OUT, "report": {"x": "arm"}}
    work = study(select={"seeds": [100]}, **content)
    names = [one.name for one in work.study.runs]
    assert names == [
        "plain,shrink=0.2,seed=100",
        "shrunk,shrink=0.2,seed=100",
        "shrunk,shrink=0.5,seed=100",
    ]
    finish(work, {"plain,shrink=0.2": 0.5, "shrunk,shrink=0.2": 0.6, "shrunk,shrink=0.5": 0.7})
    names = [one.name for one in reopened().study.runs]
    arms_chosen = ("plain,shrink=0.2", "shrunk,shrink=0.5")
    assert names == [f"{arm},seed={seed}" for arm in arms_chosen for seed in (0, 1)]


def test_of_variables_that_move_together_those_that_an_arm_uses_are_named() -> None:
    arms = {
        "plain": {},
        "shrunk": {"trainer.callbacks": [SHRINK]},
        "decayed": {"model.init_args.optimizer.init_args.weight_decay": "{factor * 0.01}"},
    }
    axes = [{"shrink": [0.2, 0.5], "factor": [1, 10]}, {"seed_everything": [0]}]
    content = {"arms": arms, "axes": axes, "set": HELD_OUT, "report": {"x": "arm"}}
    work = study(select={"seeds": [100], "over": ["shrink", "factor"]}, **content)
    finish(work, {run.values["arm"]: 0.5 for run in work.study.runs})
    assert described(reopened().study) == (
        "Chosen by the highest val/accuracy, last epoch, mean of seed 100: "
        "arm shrunk: shrink 0.2 (50, of 2 candidates); "
        "arm decayed: factor 1 (50, of 2 candidates)."
    )


def test_what_is_wrong_with_the_study_shows_before_its_candidates_are_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study(report={"metric": "val/accuracy", "x": "rate", "hue": "nothing"})
    with pytest.raises(SystemExit) as stopped:
        main(["run", "small.yaml"])
    assert stopped.value.code == 2
    assert "report: hue: nothing: is no variable of the study" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_selection_and_a_study_of_its_name_do_not_mix() -> None:
    finish(study(), VALUES)
    Path("small.yaml").rename("other.yaml")
    with pytest.raises(UserError, match="small-selection: is that of"):
        small({}, name="small-selection", axes=[{"seed_everything": [0]}])


@pytest.mark.slow
def test_a_study_is_run_from_its_candidates_to_its_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A candidate whose loss is not finite is never chosen."""
    study(
        axes=[{"rate": [0.1, 1e8]}, {"seed_everything": [0]}],
        set={
            **HELD_OUT,
            "model.init_args.optimizer.init_args.lr": "{rate}",
            "trainer.max_epochs": 2,
        },
        select={"over": ["rate"], "seeds": [100]},
        report={"metric": "val/accuracy", "x": "seed", "figure": "bar"},
    )
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            main(["run", "small.yaml"])
        said = capsys.readouterr().out
        assert not stopped.value.code, said
        assert "last epoch, mean of seed 100: rate 0.1 (" in said
        assert "of 2 candidates, 1 of which failed)" in said
    assert Path("runs/studies/small/rate=0.1,seed=0/run.json").exists()
    assert not Path("runs/studies/small/rate=100000000.0,seed=0").exists()
    work = reopened()
    assert not run(work, 1, local_engine.run)
