"""Scalars beside a segment's event files."""

from math import inf, isnan, nan
from pathlib import Path

import pytest

from plasticity_lab.runs.event_files import read_scalars
from plasticity_lab.runs.resumable_logger import ResumableTensorBoardLogger
from plasticity_lab.studies import scalars

LOGGED = {
    "val/accuracy": [(0, 0.1), (10, 1 / 3), (2**40, -1e-30)],
    "val/accuracy_2": [(1, 1.0)],
    'odd "name", [é]': [(3, 2.0)],
}


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    scalars.write(tmp_path, LOGGED)
    assert scalars.read_all(tmp_path) == LOGGED
    assert scalars.tags(tmp_path) == sorted(LOGGED)
    for tag, points in LOGGED.items():
        assert scalars.read(tmp_path, tag) == points
    assert scalars.read(tmp_path, "val/acc") == []
    assert [file.name for file in tmp_path.iterdir()] == [scalars.FILE]


def test_values_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    scalars.write(tmp_path, {"loss": [(0, nan), (1, inf), (2, -inf)]})
    (_, first), *others = scalars.read(tmp_path, "loss")
    assert isnan(first)
    assert others == [(1, inf), (2, -inf)]


def test_a_folder_without_any_has_none(tmp_path: Path) -> None:
    assert scalars.read(tmp_path, "val/loss") == []
    assert scalars.read_all(tmp_path / "none") == {}
    assert scalars.tags(tmp_path) == []


def test_a_write_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    scalars.write(tmp_path, LOGGED)
    with pytest.raises(TypeError):
        scalars.write(tmp_path, {"a": [(0, 1.0)], "b": [(0, object())]})  # type: ignore[list-item]
    assert scalars.read_all(tmp_path) == LOGGED


def test_segments_joined_are_what_a_reader_of_their_event_files_finds(tmp_path: Path) -> None:
    """The second segment continues at step 4, as a resumed run does."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for start, folder in zip((None, 4), folders, strict=True):
        folder.mkdir()
        log = ResumableTensorBoardLogger(folder, lambda: True, start)
        for step in range(start or 0, (start or 0) + 4):
            log.log_metrics({"train/loss": 1 / (step + 1), f"only/{start}": step}, step)
        log.finalize("success")
        scalars.write(folder, read_scalars(folder))
        for file in folder.glob("events*"):
            (tmp_path / f"events.out.tfevents.{start or 0:010d}").hardlink_to(file)
    assert scalars.joined(folders) == read_scalars(tmp_path)
    assert len(scalars.joined(folders)["train/loss"]) == 8
