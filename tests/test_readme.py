"""The README's classes of one's own, run as they are written."""

from pathlib import Path
from typing import Any

from tests.runs import REPOSITORY, fit, logged
from tests.test_docs import SMALL, blocks, prepare

README = REPOSITORY / "README.md"


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 165


def test_classes_in_the_working_directory_are_found_and_act() -> None:
    prepare(README)
    run = fit("--config", "configs/digits.yaml", "--config", "mine.yaml", *SMALL)
    assert type(run.model.network).__module__ == "mine"
    assert [type(deficit).__module__ for deficit in run.data.transforms.deficits] == ["mine"]
    tags: dict[str, Any] = logged(run.place.directory)
    assert [value for _, value in tags["interventions/ScaleHead"]] == [1.0]
    assert tags["deficits/Dim"]
    assert tags["diagnostics/fisher/trace"]


def test_files_that_it_names_are_written_once() -> None:
    names = [text.splitlines()[0] for _, text in blocks(README) if text.startswith("# ")]
    assert sorted(names) == ["# folder.yaml", "# mine.py", "# mine.yaml"]
    assert not Path("mine.py").exists()
