"""Files are written whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plasticity_lab import files
from plasticity_lab.files import write_atomically
from tests.runs import REPOSITORY

FILE = Path("file.txt")


def test_a_file_is_replaced_once_it_is_written() -> None:
    FILE.write_text("before")
    with write_atomically(FILE) as unfinished:
        unfinished.write_text("after")
        assert FILE.read_text() == "before"
        assert unfinished.parent == FILE.parent, "of one disk, or it could not be moved as a whole"
    assert FILE.read_text() == "after"
    assert os.listdir() == ["file.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_fails_leaves_nothing(error: type[BaseException]) -> None:
    FILE.write_text("before")

    def fail() -> None:
        with write_atomically(FILE) as unfinished:
            unfinished.write_text("aft")
            raise error

    with pytest.raises(error):
        fail()
    assert FILE.read_text() == "before"
    assert os.listdir() == ["file.txt"]


def test_two_writers_do_not_meet() -> None:
    with write_atomically(FILE) as first, write_atomically(FILE) as second:
        first.write_text("first")
        second.write_text("second")
    assert FILE.read_text() == "first"


def test_a_kill_leaves_the_file_and_what_a_run_removes() -> None:
    FILE.write_text("before")
    code = (
        "import os; from pathlib import Path; from plasticity_lab.files import write_atomically\n"
        "with write_atomically(Path('file.txt')) as unfinished:\n"
        "    unfinished.write_text('aft')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=False
    )
    assert killed.returncode == -9
    assert FILE.read_text() == "before"
    assert len(list(Path().glob(".*.tmp"))) == 1


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_durable_is_on_disk_before_it_takes_the_place(
    durable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(files, "sync", lambda path: synced.append(FILE.exists()))
    with write_atomically(FILE, durable) as unfinished:
        unfinished.write_text("after")
    assert synced == [False] * durable
