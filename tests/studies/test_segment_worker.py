"""What a process does that trains a segment, with training replaced by a few lines."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from plasticity_lab.errors import Diverged, UserError
from plasticity_lab.studies import segment_worker, signs_of_life
from plasticity_lab.studies.outcome import Cause, Outcome
from plasticity_lab.studies.segment_worker import train_and_store
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task

STATE = "s2"
Report = Callable[[int], None]


@pytest.fixture
def store() -> Store:
    return Store(Path("store").absolute())


def attempt(
    store: Store, work: Callable[[Task, Report], None], start: str | None = None
) -> Outcome:
    """Let a worker train by a function."""
    place = store.workdir(STATE)
    checkpoint = str(store.checkpoint(start)) if start else None
    task = Task(STATE, start, checkpoint, 0, 2, {}, False, 1, str(place))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_worker, "train_segment", work)
        outcome = train_and_store(task)
    assert not store.is_locked(STATE)
    assert not list(store.root.glob(".tmp-*"))
    return outcome


def trains(task: Task, report: Report) -> None:
    place = Path(task.place)
    print("printed")
    os.system("echo by another program")
    (place / "state.ckpt").write_text("state")
    (place / "events.out.tfevents.1").write_text("events")
    entry: dict[str, Any] = {"start": None, "first": 0, "stop": 2, "seconds": 1.0, "state": {}}
    (place / "done.json").write_text(json.dumps(entry))
    report(2)


def test_it_stores_what_it_trains_with_all_that_was_printed(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    assert attempt(store, trains) == Outcome(Cause.TRAINED)
    assert store.is_trained(STATE, test=False)
    log = store.root / STATE / "log.txt"
    assert sorted(log.read_text().splitlines()) == ["by another program", "printed"]
    print("to the terminal again")
    assert capfd.readouterr().out == "to the terminal again\n"
    names = {file.name for file in (store.root / STATE).iterdir()}
    assert names == {"state.ckpt", "events.out.tfevents.1", "done.json", "log.txt"}


def test_what_another_process_trains_or_has_trained_is_left_to_it(store: Store) -> None:
    def never(task: Task, report: Report) -> None:
        raise AssertionError

    lock = store.lock(STATE)
    assert lock is not None
    place = store.workdir(STATE)
    task = Task(STATE, None, None, 0, 2, {}, False, 1, str(place))
    assert train_and_store(task) == Outcome(Cause.LOCKED)
    assert not place.exists()
    lock.release()

    attempt(store, trains)
    assert attempt(store, never) == Outcome(Cause.TRAINED)


@pytest.mark.parametrize(
    ("error", "cause", "last"),
    [
        (RuntimeError("broken"), Cause.FAILED, "RuntimeError: broken"),
        (SystemExit(3), Cause.FAILED, "SystemExit(3)"),
        (
            UserError("lr", value=-1, fix="set more"),
            Cause.REFUSED,
            "train.py: error: lr: -1: set m",
        ),
        (Diverged("loss is nan"), Cause.REFUSED, "train.py: error: loss is nan"),
        (torch.OutOfMemoryError("CUDA"), Cause.OUT_OF_MEMORY, "torch.OutOfMemoryError: CUDA"),
        (OSError(28, "No space left on device", "x"), Cause.NOT_STORED, "No space left on device"),
    ],
)
def test_the_cause_of_an_error_is_told_with_its_output(
    store: Store, error: BaseException, cause: Cause, last: str
) -> None:
    def fails(task: Task, report: Report) -> None:
        raise error

    outcome = attempt(store, fails)
    assert outcome.cause is cause
    assert last in outcome.output.splitlines()[-1]
    assert not store.has_logs(STATE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_of_a_scheduler_ends_it_as_killed(store: Store, number: int) -> None:
    def interrupted(task: Task, report: Report) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError

    handler = signal.getsignal(number)
    assert attempt(store, interrupted).cause is Cause.KILLED
    assert signal.getsignal(number) is handler
    assert attempt(store, trains).cause is Cause.TRAINED


def test_a_full_disk_is_told_in_one_line_and_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("plasticity_lab.studies.store.sync", full)
        outcome = attempt(store, trains)
    assert outcome.cause is Cause.NOT_STORED
    (line,) = outcome.output.splitlines()
    assert line.startswith("No space left on device: ")
    assert [place.name for place in store.root.iterdir()] == [".locks"]
    assert attempt(store, trains).cause is Cause.TRAINED


def test_a_start_that_cannot_be_read_is_told(store: Store) -> None:
    (store.root / "s1").mkdir(parents=True)
    store.checkpoint("s1").write_text("no checkpoint")
    outcome = attempt(store, trains, start="s1")
    assert outcome.cause is Cause.START_DAMAGED
    assert "truncated or not a checkpoint" in outcome.output
    assert not store.checkpoint("s1").exists()


def test_epochs_show_while_it_trains(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "TICK", 0.01)
    seen: list[Any] = []

    def slow(task: Task, report: Report) -> None:
        for epochs in (0, 1, 2):
            report(epochs)
            while (life := signs_of_life.read_life(Path(task.place))) is None or (
                life.epochs != epochs
            ):
                time.sleep(0.01)
            seen.append(life.epochs)
        trains(task, report)

    assert attempt(store, slow).cause is Cause.TRAINED
    assert seen == [0, 1, 2]
