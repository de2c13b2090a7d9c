"""A study is opened at once where nothing that it depends on has changed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from plasticity_lab.project import CODE
from plasticity_lab.studies import opened_record, opening
from plasticity_lab.studies.code_hashes import project_sources
from plasticity_lab.studies.open_study import open_study, reopen_study
from plasticity_lab.studies.opened_record import data_stamps
from plasticity_lab.studies.resolve_configs import resolve
from plasticity_lab.studies.study_context import StudyContext
from tests.runs import REPOSITORY
from tests.studies.small import ARMS, small

ROOT = Path("runs")


def kept(**content: Any) -> StudyContext:
    """Return a study of which it is known what opening it comes to."""
    arms = {"plain": ARMS["plain"], "warm and reset": ARMS["warm and reset"]}
    work = small({**arms, "decay removed at 1": ARMS["decay removed at 1"]}, **content)
    work.home.mkdir(parents=True)
    work.keep()
    return work


def reopened(**options: Any) -> StudyContext | None:
    return reopen_study(Path("small.yaml"), ROOT.absolute(), **options)


def test_it_is_the_study_that_was_opened() -> None:
    work = kept()
    again = reopened()
    assert again is not None
    assert again.inputs is None
    assert again._replace(inputs=work.inputs) == work
    assert again.task.__func__ is work.task.__func__  # type: ignore[attr-defined]
    assert open_study(Path("small.yaml"), ROOT.absolute(), fetch=False).inputs is None


def test_nothing_is_known_before_a_study_has_been_run() -> None:
    small({"plain": {}})
    assert reopened() is None
    assert not ROOT.exists()


def edited(name: str, old: str, new: str) -> Callable[[], None]:
    def edit() -> None:
        text = Path(name).read_text()
        assert old in text
        Path(name).write_text(text.replace(old, new))

    return edit


@pytest.mark.parametrize(
    "change",
    [
        edited("tiny.yaml", "max_epochs: 3", "max_epochs: 4"),
        edited("small.yaml", "  - 1\n", "  - 1\n  - 2\n"),
        edited("small.yaml", "1ep: 0.0", "1ep: 0.1"),
        lambda: os.utime("tiny.yaml", ns=(1, 1)),
        lambda: os.chdir("runs"),
    ],
    ids=["config", "number of runs", "value", "time of a file", "working directory"],
)
def test_it_is_opened_anew_after(change: Callable[[], None]) -> None:
    kept()
    study, root = Path("small.yaml").absolute(), ROOT.absolute()
    assert reopen_study(study, root) is not None
    change()
    try:
        assert reopen_study(study, root) is None
    finally:
        os.chdir(root.parent)


def test_other_options_are_another_opening() -> None:
    kept()
    Path("top.yaml").write_text("trainer: {max_epochs: 2}")
    assert reopened(threads=2) is None
    assert reopened(config=[Path("top.yaml")]) is None
    alone, shared = reopened(share=False), reopened()
    assert alone
    assert shared
    assert alone.paths[0].states[0] != shared.paths[0].states[0]


def test_trusted_code_is_known_from_the_last_run() -> None:
    work = kept()
    assert reopened(trust_code=True) is not None
    entry = json.loads((work.home / "study.json").read_text())
    older = dict.fromkeys(entry["code_of_classes"], "older")
    (work.home / "study.json").write_text(json.dumps({**entry, "code_of_classes": older}))
    assert reopened(trust_code=True) is None
    trusting = small_again(trust_code=True)
    assert trusting.paths != work.paths
    again = reopened(trust_code=True)
    assert again is not None
    assert again.paths == trusting.paths
    assert reopened() is None, "this code is another"


def small_again(**options: Any) -> StudyContext:
    return open_study(Path("small.yaml"), ROOT.absolute(), fetch=False, **options)


def test_a_data_set_of_ones_own_is_opened_each_time() -> None:
    """It may read anything."""
    Path("own_digits.py").write_text(
        "from datamodules import Digits\n\n\nclass Mine(Digits): ...\n"
    )
    sys.path.append(str(Path.cwd()))
    data = {"class_path": "own_digits.Mine", "init_args": {"subset": 100}}
    try:
        kept(set={"data.init_args.dataset": data})
        assert reopened() is None
    finally:
        sys.path.remove(str(Path.cwd()))
        sys.modules.pop("own_digits", None)


def test_classes_of_ones_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own_shrink.py").write_text(
        "from callbacks import ShrinkPerturb\n\n\nclass Mine(ShrinkPerturb): ...\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    shrink = {"class_path": "own_shrink.Mine", "init_args": {"at": ["1ep"], "shrink": 0.5}}
    kept(set={"trainer.callbacks": [shrink]})
    assert reopened() is not None
    Path("own_shrink.py").write_text(f"{Path('own_shrink.py').read_text()}\nX = 1\n")
    assert reopened() is None
    sys.modules.pop("own_shrink", None)
    # What has been read of it is not what other tests find.
    project_sources.cache_clear()


def test_another_python_path_is_another_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    kept()
    assert reopened() is not None
    monkeypatch.syspath_prepend(str(Path.cwd() / "elsewhere"))
    assert reopened() is None


def test_code_of_this_project_counts_that_no_run_executes(monkeypatch: pytest.MonkeyPatch) -> None:
    work = kept()
    assert work.inputs
    assert str(CODE / "plasticity_lab/studies/epoch_signatures.py") in work.inputs.stamps
    assert str(CODE / "datamodules/checks.py") in work.inputs.stamps


def test_an_edit_while_a_study_is_opened_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not noted as if it had been read."""

    def edit_meanwhile(runs: Any, provisional: bool) -> Any:
        resolved = resolve(runs, provisional)
        text = Path("tiny.yaml").read_text()
        Path("tiny.yaml").write_text(text.replace("max_epochs: 3", "max_epochs: 4"))
        return resolved

    with monkeypatch.context() as patch:
        patch.setattr(opening, "resolve", edit_meanwhile)
        kept()
    assert reopened() is None
    assert len(small_again().paths[0].states) == 5


def test_folders_of_data_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "images"
    (folder / "dog").mkdir(parents=True)
    (folder / "dog/a.png").write_text("one")

    def arm(root: str) -> dict[str, Any]:
        dataset = {"class_path": "datamodules.FolderImages", "init_args": {"root": root}}
        return {"data": {"init_args": {"dataset": dataset}}, "model": {}}

    for root in (str(folder), "~/images"):
        before = data_stamps([arm(root)])
        assert data_stamps([arm(root)]) == before
        (folder / "dog/a.png").write_text((folder / "dog/a.png").read_text() + "more")
        assert data_stamps([arm(root)]) != before
    assert data_stamps([arm("")]) == {}
    assert data_stamps([arm("x" * 300)]) == {"x" * 300: None}
    (folder / "dog/loop").symlink_to(folder / "dog/loop")
    (folder / "again").symlink_to(folder)
    with pytest.raises(OSError, match="symbolic links"):
        data_stamps([arm(str(folder))])


def test_what_json_cannot_hold_is_not_kept(tmp_path: Path) -> None:
    work = kept()
    assert work.inputs
    (work.home / opened_record.FILE).unlink()
    arms = [{**work.opened.arms[0], "data": {1: "a number as key"}}]
    opened_record.save(work.home, work.opened._replace(arms=arms), work.inputs)
    assert not (work.home / opened_record.FILE).exists()


def test_a_damaged_record_is_made_again() -> None:
    work = kept()
    file = work.home / opened_record.FILE
    file.write_bytes(file.read_bytes()[:100])
    assert reopened() is None
    assert small_again().paths == work.paths
    assert reopened() is not None


CHECK = """
import sys
from plasticity_lab.studies.main import main
try:
    main({arguments})
finally:
    heavy = {{"torch", "pytorch_lightning", "lightning_fabric", "jsonargparse"}} & {{*sys.modules}}
    assert not heavy, heavy
"""


@pytest.mark.parametrize("command", ["plan", "status", "gc", "--help"])
def test_commands_that_do_not_train_import_neither_torch_nor_lightning(command: str) -> None:
    kept()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    arguments = [command] if command == "--help" else [command, "small.yaml"]

    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )

    code = CHECK.format(arguments=arguments)
    if command != "--help":
        # What opening it comes to, and how the arms differ, is found out once.
        first = run(code)
        assert "AssertionError" in first.stderr
    done = run(code)
    assert done.returncode == 0, done.stderr
    if command != "--help":
        assert done.stdout == first.stdout
    if command == "plan":
        assert "decay removed at 1, against plain:" in done.stdout
    if command == "status":
        assert done.stdout.startswith("0 done, 0 running, 0 failed, 6 waiting")


def test_a_study_says_the_same_however_it_was_opened() -> None:
    """The settings of a study are read from its file each time."""
    kept()
    content = yaml.safe_load(Path("small.yaml").read_text())
    Path("small.yaml").write_text(
        yaml.safe_dump({**content, "report": {"metric": "val/loss"}}, sort_keys=False)
    )
    again = reopened()
    assert again is not None
    assert again.study.report == {"metric": "val/loss"}
