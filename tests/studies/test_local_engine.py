"""Whole studies, trained by worker processes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from plasticity_lab.checkpoint_files import read_checkpoint
from plasticity_lab.errors import UserError
from plasticity_lab.studies import local_engine, workers
from plasticity_lab.studies.commands import gc, run, status, summary
from plasticity_lab.studies.dry_run import check_arms
from plasticity_lab.studies.outcome import cause_of_signal
from plasticity_lab.studies.plan import segments
from plasticity_lab.studies.scalars import read_all
from plasticity_lab.studies.stored_states import StoredStates
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.studies.verify import verify
from tests.runs import REPOSITORY, fit, logged, tiny
from tests.studies.small import ARMS, acting, small


def ends(work: StudyContext) -> dict[str, Any]:
    """Return what every run ends in, and everything that it logged."""
    return {
        one.name: (work.store.metadata(path.states[-1])["state"], read_all(work.folder(number)))
        for number, (one, path) in enumerate(zip(work.study.runs, work.paths, strict=True))
    }


def few(*names: str) -> dict[str, dict[str, Any]]:
    return {name: ARMS[name] for name in names}


BROKEN = {"trainer.callbacks+": [{"class_path": "tests.studies.bad.Broken"}]}


@pytest.mark.slow
def test_a_study_is_its_runs() -> None:
    work = small(few("plain", "blurred for 2", "shrunk by half"), seeds=1)
    assert run(work, 2, local_engine.run) == []
    first, _ = ends(work)["plain,seed=0"], fit(*tiny(), "--run_dir", "alone")
    assert first[1] == logged(Path("alone"))
    assert not run(work, 1, local_engine.run)
    assert segments(work.paths, work.store) == []
    names = sorted(file.name for file in (work.folder(2)).glob("*tfevents*"))
    assert [name.split(".")[3] for name in names] == ["0000000000", "0000000002", "0000000003"], (
        "parents first, then the test"
    )
    assert verify(work, number=1) == "blurred-for-2,seed=0"


@pytest.mark.slow
def test_what_is_missing_is_trained_when_an_arm_is_added() -> None:
    run(small(few("plain"), seeds=1), 1, local_engine.run)
    more = small(few("plain", "shrunk by half"), seeds=1)
    todo = segments(more.paths, more.store)
    assert [(segment.first, segment.stop) for segment in todo] == [(0, 2), (2, 3)], (
        "no state was kept at epoch 2"
    )
    assert "missing are 3 epochs in 2 segments" in summary(more, todo, StoredStates(more.store), 1)
    run(more, 1, local_engine.run)
    alone = small(few("plain", "shrunk by half"), seeds=1, share=False, root="alone")
    run(alone, 1, local_engine.run)
    assert ends(more) == ends(alone)
    assert gc(more).startswith("3 states dropped")
    assert status(more).startswith("2 done, 0 running, 0 failed, 0 waiting")


@pytest.mark.slow
def test_a_run_that_others_have_gone_through_is_only_tested() -> None:
    longer = {
        "long": {"trainer.max_epochs": 4},
        "shrunk": {"trainer.max_epochs": 4, **acting("ShrinkPerturb", at=["3ep"], shrink=0.5)},
    }
    run(small(longer, seeds=1), 1, local_engine.run)
    work = small({**longer, "plain": {}}, seeds=1)
    assert [(segment.first, segment.stop) for segment in segments(work.paths, work.store)] == [
        (3, 3)
    ]
    run(work, 1, local_engine.run)
    alone = small({"plain": {}}, seeds=1, share=False, root="alone")
    run(alone, 1, local_engine.run)
    assert ends(work)["plain,seed=0"] == ends(alone)["plain,seed=0"]


@pytest.mark.slow
def test_workers_may_have_workers() -> None:
    work = small(
        {"streamed": {"data.init_args.resident": False, "data.init_args.workers": 1}}, seeds=1
    )
    assert not run(work, 1, local_engine.run)


@pytest.mark.slow
def test_a_failure_stops_no_other_run() -> None:
    work = small({"broken": BROKEN, **few("plain")}, seeds=1)
    assert run(work, 2, local_engine.run) == ["broken,seed=0"]
    assert "failed  broken,seed=0  failed 2 times: RuntimeError: broken at epoch 2" in status(work)
    assert 1 in work.finished(), "though its first epochs were trained with the config of the other"
    assert [(segment.first, segment.stop) for segment in segments(work.paths, work.store)] == [
        (2, 3)
    ]


@pytest.mark.slow
def test_a_worker_that_a_scheduler_stops_has_not_failed() -> None:
    """However often: here three times, in training and while it starts."""
    preempted = {"trainer.callbacks+": [{"class_path": "tests.studies.bad.Preempted"}]}
    work = small({"preempted": preempted}, seeds=1)
    assert not run(work, 1, local_engine.run)
    assert len(Path("stopped").read_text()) == 3
    assert work.finished() == [0]


def test_an_arm_that_cannot_be_trained_is_said_before_any_is() -> None:
    late = {
        "data.init_args.deficits": [
            {"class_path": "datamodules.Blur", "init_args": {"size": 99, "during": ["2ep", "3ep"]}}
        ]
    }
    never = {**acting("OptimizerReset", at=["9ep"])}
    unreached = r"OptimizerReset\(what=all\): at: \[9ep\]: 9ep is never reached"
    for arm, message in ((late, "size: 99"), (never, unreached)):
        work = small({**few("plain"), "broken": arm}, seeds=1)
        with pytest.raises(UserError, match=f"^broken,seed=0: {message}"):
            check_arms(work)
    check_arms(small({"plain": {}}))
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.long)]
)
def test_sharing_changes_nothing(precision: str) -> None:
    shared = small(ARMS, set={"trainer.precision": precision})
    alone = small(ARMS, share=False, root="alone", set={"trainer.precision": precision})
    asked = sum(len(path.states) - 1 for path in shared.paths)
    todo = segments(shared.paths, shared.store)
    assert sum(segment.stop - segment.first for segment in todo) < 0.75 * asked
    for work in (shared, alone):
        assert not run(work, 2, local_engine.run)
    assert ends(shared) == ends(alone)


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(REPOSITORY / "study.py"), *arguments]


class Gone:
    """A process whose end nobody tells."""

    exitcode = None

    def join(self, timeout: float) -> None:
        """Wait in vain."""

    def kill(self) -> None:
        """Kill it in vain."""


def test_a_worker_that_ends_with_the_server_of_workers_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_engine, "start_forkserver", lambda: None)
    reader, writer = Pipe(duplex=False)
    gone: Any = Gone()
    worker = local_engine.Worker(gone, reader, None, memory_kills=10**9)
    executor = local_engine.LocalExecutor()
    assert executor.poll(worker) is None
    writer.close()
    outcome = executor.poll(worker)
    assert outcome is not None
    assert outcome.cause is cause_of_signal(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [2, pytest.param(8, marks=pytest.mark.long)])
def test_kills_lose_at_most_the_segment_in_flight(attempts: int) -> None:
    """Runner and workers are killed at random moments; the same command then completes them."""
    names = ("plain", "blurred for 1", "blurred for 2", "shrunk by half", "shrunk by a fifth")
    arms = few(*names[: attempts + 1])
    work, killed = small(arms, seeds=2), 0

    def done() -> dict[str, int]:
        return {
            state.parent.name: state.stat().st_mtime_ns
            for state in work.store.root.glob("[!.]*/done.json")
        }

    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    chance = random.Random(0)
    for attempt in range(attempts):
        before = done()
        process = subprocess.Popen(
            command("run", "small.yaml", "--jobs", "2"),
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(
                signal.signal, signal.SIGINT, signal.SIG_DFL
            ),  # which background jobs ignore
        )
        until(partial(lambda before: len(done()) > len(before), before))
        time.sleep(1.5 * chance.random())
        if attempt % 2:
            process.kill()
            process.communicate()
            time.sleep(1)
            assert not worker_processes(), "workers end with the runner"
        else:
            for pid in worker_processes()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            process.send_signal(signal.SIGINT)
            process.communicate()
        assert before.items() < done().items(), "what was done is not trained again"
    assert killed
    assert not run(work, 2, local_engine.run)
    alone = small(arms, seeds=2, share=False, root="alone")
    run(alone, 2, local_engine.run)
    assert ends(work) == ends(alone)
    assert not list(work.store.root.glob(".tmp-*"))


def until(true: Callable[[], bool]) -> None:
    """Wait for three minutes at most."""
    end = time.monotonic() + 180
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def worker_processes() -> list[int]:
    """Return the worker processes that train for this folder: the forkserver's children."""
    family = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"multiprocessing.forkserver" in (place / "cmdline").read_bytes()
                and (place / "cwd").readlink() == Path.cwd()
            ):
                family[int(place.name)] = int(
                    (place / "stat").read_text().rsplit(")", 1)[1].split()[1]
                )
        except OSError:
            continue
    return [pid for pid, parent in family.items() if parent in family]


def trained_epochs(work: StudyContext) -> int:
    """Return how many epochs have been trained of a study with `tests.studies.bad.Trace`."""
    lines = Path("epochs.txt").read_text().splitlines()
    Path("epochs.txt").unlink()
    return len(lines)


TRACE = {"trainer.callbacks": [{"class_path": "tests.studies.bad.Trace"}]}


@pytest.mark.slow
@pytest.mark.parametrize("names", [("small", "small"), ("small", "other")])
def test_two_runners_at_once_train_each_epoch_once(names: tuple[str, str]) -> None:
    """Of one study, and of two studies that share a baseline."""
    arms = few("plain", "shrunk by half"), few("plain", "shrunk by a fifth")
    works = [small(arms[name == "other"], seeds=2, name=name, set=TRACE) for name in names]
    planned = {
        segment.end: segment.stop - segment.first
        for work in works
        for segment in segments(work.paths, work.store)
    }
    threads = [Thread(target=run, args=(work, 2, local_engine.run)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(work.finished() == [0, 1, 2, 3] for work in works)
    assert trained_epochs(works[0]) == sum(planned.values())


@pytest.mark.slow
def test_damaged_files_are_named_and_only_their_segments_trained_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = small(few("plain", "shrunk by half"), seeds=1, set=TRACE)
    assert not run(work, 1, local_engine.run)
    trained_epochs(work)
    before, root = ends(work), work.store.root
    plain, shrunk = (path.states[-1] for path in work.paths)
    parent, *_ = work.store.ancestors(shrunk)

    # Files that are too short.
    for file in (root / parent).glob("*tfevents*"):
        file.write_bytes(file.read_bytes()[:100])
    (root / plain / "done.json").write_text("{")
    (work.folder(1) / "manifest.json").write_text("")
    capsys.readouterr()
    assert not run(work, 1, local_engine.run)
    said = capsys.readouterr().out
    assert f"damaged {root / parent}: events.out.tfevents" in said
    assert f"damaged {root / plain}: done.json is damaged" in said
    assert trained_epochs(work) == 3
    assert ends(work) == before

    # A test that is too short is measured again; no epoch is trained.
    next((root / plain / "test").glob("*tfevents*")).write_text("")
    assert not run(work, 1, local_engine.run)
    assert not Path("epochs.txt").exists()
    assert ends(work) == before

    # A state of the right length that cannot be read shows when it is read.
    content = bytearray(work.store.checkpoint(parent).read_bytes())
    weights = read_checkpoint(work.store.checkpoint(parent))["state_dict"]
    largest = max(weights.values(), key=torch.numel).numpy().tobytes()
    content[content.index(largest)] ^= 1
    work.store.checkpoint(parent).write_bytes(content)
    shutil.rmtree(root / shrunk)
    assert not run(work, 2, local_engine.run)
    assert "the state before it is damaged" in capsys.readouterr().out
    assert trained_epochs(work) == 3
    assert ends(work) == before


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 1], ids=["while it starts", "in training"])
def test_a_worker_that_is_stopped_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], epochs: int
) -> None:
    """A worker is stopped for ever; another one trains its segment."""
    work, stopped = small(few("plain"), seeds=1, set=TRACE), list[int]()

    def start(context: Any, task: Any, gpu: str | None) -> Any:
        reader, process = workers.start(context, task, gpu)
        if not stopped:
            if epochs:
                until(Path("epochs.txt").exists)
            stopped.append(process.pid or 0)
            os.kill(stopped[0], signal.SIGSTOP)
        return reader, process

    monkeypatch.setattr("plasticity_lab.studies.local_engine.start", start)
    assert not run(work, 1, partial(local_engine.run, patience=6.0))
    with pytest.raises(ProcessLookupError):
        os.kill(stopped[0], 0)
    assert "hung: no sign of life for 0.1 minutes" in capsys.readouterr().out
    assert not list(work.store.root.glob(".tmp-*"))


@pytest.mark.slow
def test_segments_are_spread_over_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of two GPUs, which nothing here uses."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    work = small(few("plain"), seeds=4, set=TRACE)
    assert not run(work, 4, partial(local_engine.run, gpus=0.5))
    lines = Path("epochs.txt").read_text().split()
    assert lines.count("3") == lines.count("5") == 6


@pytest.mark.slow
def test_a_worker_that_linux_kills_for_lack_of_memory_is_told_from_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are killed by signal 9; while the first one is, Linux counts one more."""
    work, killed = small(few("plain"), seeds=1, set=TRACE), list[int]()

    def start(context: Any, task: Any, gpu: str | None) -> Any:
        reader, process = workers.start(context, task, gpu)
        if len(killed) < 2:
            killed.append(process.pid or 0)
            os.kill(killed[-1], signal.SIGKILL)
        return reader, process

    monkeypatch.setattr("plasticity_lab.studies.local_engine.start", start)
    monkeypatch.setattr("plasticity_lab.studies.local_engine.memory_kills", lambda: bool(killed))
    assert not run(work, 1, local_engine.run)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("again")]
    assert len(said) == 2
    assert "out of memory: ended by signal 9 for lack of memory; use fewer --jobs" in said[0]
    assert "killed: ended by signal 9" in said[1]
