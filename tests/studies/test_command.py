"""study.py from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plasticity_lab.studies import local_engine
from plasticity_lab.studies.commands import run
from plasticity_lab.studies.main import main
from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.study_context import StudyContext
from tests.runs import REPOSITORY
from tests.studies.finished import CLAIM, done
from tests.studies.small import ARMS, small
from tests.studies.test_local_engine import BROKEN


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    lines = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2
    assert message in lines[-1]
    assert len(lines) == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"arms": {"one": {"trainer.max_epoch": 3}}},
            "one,seed=0: there is no option 'trainer.max_epoch'",
        ),
        (
            {"arms": {"one": {}, "two": {}}},
            "two,seed=0: is the same run as one,seed=0; let them differ, or remove one",
        ),
        (
            {"arms": {"one": {}}, "report": {"metric": "val/acc"}},
            "report: metric: val/acc: no run logs it",
        ),
        (
            {"arms": {"one": {"trainer.callbacks+": [{"class_path": "callbacks.None"}]}}},
            "one,seed=0: trainer.callbacks",
        ),
        (
            {
                "arms": {
                    "one": {"data.init_args.batch_size": 5000, "data.init_args.drop_last": True}
                }
            },
            "one,seed=0: batch_size: 5000: no full batch",
        ),
        (
            {"arms": {"one": {"seed_everything": -1}}, "axes": []},
            "seed_everything: -1: set a whole number in 0…4294967295",
        ),
        (
            {"arms": {"one": {}}, "axes": [{"seed_everything": [0, 1.5]}]},
            "seed_everything: 1.5: set a whole number",
        ),
    ],
)
def test_one_line(
    keys: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.studies.small.open_study", lambda *_, **__: None)
        small(keys.pop("arms"), seeds=1, **keys)  # type: ignore[arg-type]
    refused(["run", "small.yaml"], message, capsys)


def test_a_folder_that_holds_another_study_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small({"plain": ARMS["plain"]}, seeds=1)
    home = Path("elsewhere/studies/small")
    home.mkdir(parents=True)
    large = Path("large.yaml").absolute()
    large.write_text("name: small")
    (home / "study.json").write_text(json.dumps({"file": str(large)}))
    refused(
        ["run", "small.yaml", "--root", "elsewhere"],
        f"name: small: is that of {large} too; choose another",
        capsys,
    )
    (home / "study.json").rename(home / "thesis.txt")
    refused(
        ["run", "small.yaml", "--root", "elsewhere"],
        "holds something else; choose another name",
        capsys,
    )
    assert [file.name for file in home.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("record", [None, '{"file": "/no', "[]"])
def test_a_study_is_known_by_its_name_wherever_its_file_is(record: str | None) -> None:
    work = small({"plain": ARMS["plain"]}, seeds=1)
    work.home.mkdir(parents=True)
    whole = {"file": str(work.study.file.absolute()), "code_of_classes": {}, "config": []}
    (work.home / "study.json").write_text(record or json.dumps(whole))
    moved = Path("moved/renamed.yaml")
    moved.parent.mkdir()
    text = Path("small.yaml").rename(moved).read_text()
    moved.write_text(text.replace("tiny.yaml", "../tiny.yaml"))
    assert open_study(moved, Path("runs").absolute()).paths == work.paths


def test_nothing_is_reported_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    small({"plain": ARMS["plain"]}, seeds=1)
    refused(["report", "small.yaml"], "report: no run of small is done", capsys)
    refused(["verify", "small.yaml"], "verify: no run of small is done", capsys)
    refused(["run", "small.yaml", "--jobs", "0"], "jobs: 0: set 1 or more", capsys)
    refused(
        ["run", "small.yaml", "--ledger", "mine.md"],
        "unrecognized arguments: --ledger mine.md",
        capsys,
    )
    refused(["plan", "none.yaml"], "none.yaml: there is no such study", capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--jobs", "0"], "jobs: 0: set 1 or more"),
        (["--gpus", "2"], "gpus: 2.0: a segment is trained on one device; set a share up to 1"),
        (["--gpus", "nan"], "gpus: nan: a segment is trained on one device"),
        (["--gpus", "0.5"], "gpus: 0.5: this machine shows no GPU; leave out --gpus"),
        (["--patience", "0"], "patience: 0.0: set minutes above 0"),
        (["--slurm", "partition=gpu"], "slurm: is for --engine slurm; leave it out"),
        (["--address", "auto"], "address: is for --engine ray; leave it out"),
        (["--engine", "slurm"], "engine: slurm: this machine has no srun; start study.py on a"),
        (["--engine", "slurm", "--slurm", "gpu"], "slurm: gpu: set name=value"),
        (
            ["--engine", "slurm", "--slurm", "cluster=local", "--slurm", "time_out=1"],
            "slurm: Unknown argument 'time_out' for executor 'slurm'",
        ),
    ],
)
def test_where_a_study_cannot_be_trained_is_one_line(
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.studies.small.open_study", lambda *_, **__: None)
        small({"plain": ARMS["plain"]}, seeds=1)
    refused(["run", "small.yaml", *options], message, capsys)


@pytest.mark.slow
def test_one_study_that_fails_does_not_stop_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    small({"plain": ARMS["plain"]}, seeds=1)
    file = Path("small.yaml").rename("second.yaml")
    file.write_text(file.read_text().replace("name: small", "name: second"))
    small({"broken": BROKEN}, seeds=1)
    with pytest.raises(SystemExit) as stopped:
        main(["run", "small.yaml", "second.yaml"])
    assert stopped.value.code == 1
    assert "| plain | 1 |" in capsys.readouterr().out
    assert Path("runs/studies/second/report/figure.png").exists()


def test_the_seed_is_the_configs() -> None:
    Path("seed.yaml").write_text("seed_everything: 3")
    (run,) = small({"plain": {"config": "seed.yaml"}}, axes=[]).study.runs
    assert run.name == "plain,seed=3"


@pytest.mark.slow
def test_a_reader_may_leave() -> None:
    small({"plain": ARMS["plain"]}, seeds=200, set={"trainer.default_root_dir": 1000 * "x"})
    line = f"{sys.executable} {REPOSITORY / 'study.py'} plan small.yaml | head -1"
    ended = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert ended.stdout.startswith("small: 200 runs")
    assert not ended.stderr


def test_a_plan_says_what_is_shared_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    small(
        {"plain": {}, "own": {"trainer.callbacks+": [{"class_path": "tests.probes.StepLog"}]}},
        seeds=2,
    )
    with pytest.raises(SystemExit):
        main(["plan", "small.yaml"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "small: 4 runs of 12 epochs, 12 trained (1.00 of them); missing are 12 epochs in 4 segments"
    )
    assert lines[3].endswith(
        "shares nothing: tests.probes.StepLog: may depend on the run's clock, and is no "
        "plasticity_lab.schedule.Timed that answers"
    )


def test_a_study_runs_and_reports_by_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    small(
        {"plain": ARMS["plain"], "warm": ARMS["warm"]},
        seeds=1,
        report={"control": "plain"},
        claims=[CLAIM],
    )
    with pytest.raises(SystemExit) as stopped:
        main(["run", "small.yaml", "--jobs", "2"])
    assert stopped.value.code == 0
    assert Path("runs/studies/small/report/figure.png").exists()
    out = capsys.readouterr().out
    assert "| warm | 1 |" in out
    assert "B1  c: not run: one seed\n" in out
    assert "**not run**: one seed" in Path("runs/studies/small/report/claims.md").read_text()
    for command, said in (
        ("status", "2 done, 0 running"),
        ("gc", "2 states dropped"),
        ("report", "| plain | 1 |"),
    ):
        with pytest.raises(SystemExit):
            main([command, "small.yaml"])
        assert said in capsys.readouterr().out


def test_a_metric_that_only_training_shows_to_be_missing_is_warned_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = {"trainer.callbacks+": [{"class_path": "tests.probes.StepLog"}], "trainer.max_epochs": 1}
    work = small({"own": own}, seeds=1, report={"metric": "own/value"})
    assert not run(work, 1, local_engine.run)
    assert (
        "done    own,seed=0  warning: report: metric: own/value: is not logged; logged are"
        in capsys.readouterr().out
    )


def test_several_studies_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    """They may be named by a pattern."""
    small({"plain": {}}, name="one")
    Path("small.yaml").rename("study_one.yaml")
    small({"plain": {}}, name="two", seeds=3)
    Path("small.yaml").rename("study_two.yaml")
    with pytest.raises(SystemExit):
        main(["plan", "study_*.yaml"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 studies: 5 runs; missing are 15 epochs"
    assert lines[1].startswith("one: 2 runs")


def test_a_study_is_watched_until_all_runs_are_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = done()
    missing = work.folder(3) / "run.json"
    entry = missing.read_text()
    missing.unlink()
    pages: list[str] = []
    finished = [False, True, True]

    def is_complete(work: StudyContext) -> bool:
        return finished.pop(0)

    def sleep(seconds: float) -> None:
        pages.append((work.home / "report/index.html").read_text())
        missing.write_text(entry)

    monkeypatch.setattr("plasticity_lab.studies.commands.is_complete", is_complete)
    monkeypatch.setattr("plasticity_lab.studies.main.time.sleep", sleep)
    with pytest.raises(SystemExit) as stopped:
        main(["report", "small.yaml", "--watch"])
    assert not stopped.value.code
    reload = '<meta http-equiv="refresh" content="30">'
    assert len(pages) == 1
    assert reload in pages[0]
    assert reload not in (work.home / "report/index.html").read_text(), "once all is done"
    assert "small: " in capsys.readouterr().out
