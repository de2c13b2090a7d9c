"""Studies as jobs of submitit, which starts them on this machine, and what Slurm says of jobs."""

import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies import local_engine, slurm_engine
from plasticity_lab.studies.commands import run
from plasticity_lab.studies.outcome import Cause
from plasticity_lab.studies.scalars import read_all
from plasticity_lab.studies.segment import fingerprint
from plasticity_lab.studies.slurm_engine import outcome_of_state
from plasticity_lab.studies.slurm_options import job_executor, read_options
from plasticity_lab.studies.task import Task
from tests.runs import REPOSITORY, fit, logged, tiny
from tests.studies.small import small
from tests.studies.test_local_engine import BROKEN, TRACE, ends, few, trained_epochs, until

pytest.importorskip("submitit")
# submitit starts processes on this machine that it does not wait for.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HERE = partial(slurm_engine.run, options={"cluster": "local"})


@pytest.fixture(autouse=True)
def _tests_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.mark.slow
def test_a_study_of_jobs_is_the_study_and_a_failure_is_told_with_its_cause() -> None:
    """All three share a job, whose state others go on from."""
    shared = few("plain", "shrunk by half")
    work = small({"broken": BROKEN, **shared}, seeds=1, set=TRACE)
    assert run(work, 2, HERE) == ["broken,seed=0"]
    assert trained_epochs(work) == 4 + 2, "each once, and two tries of the one that breaks"
    (report,) = (work.home / "failed").iterdir()
    assert report.read_text().splitlines()[-1] == (
        "failed 2 times: RuntimeError: broken at epoch 2"
    )
    finished = fit(*tiny(), "--run_dir", "alone")
    assert len(work.store.ancestors(work.paths[1].states[-1])) == 2
    stored = work.store.metadata(work.paths[1].states[-1])["state"]
    assert stored == fingerprint(finished.trainer, finished.model)
    assert read_all(work.folder(1)) == logged(Path("alone"))
    folder = work.store.root / slurm_engine.FOLDER
    assert not list(folder.iterdir()), "nothing is left of jobs that have ended"

    local = small(shared, seeds=1, root="local")
    assert not run(local, 2, local_engine.run)
    for number, ended in enumerate(ends(local).values()):
        state = work.store.metadata(work.paths[number + 1].states[-1])["state"]
        assert (state, read_all(work.folder(number + 1))) == ended


def processes(store: Path) -> list[int]:
    """Return the processes that train in a store, as they hold files there open."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            open_files = [str(file.readlink()) for file in (place / "fd").iterdir()]
        except OSError:
            continue
        if any(file.startswith(f"{store}/.tmp-") for file in open_files):
            found.append(int(place.name))
    return found


# What CI tries again is the job that fails above.
@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "said"),
    [
        pytest.param(signal.SIGKILL, "killed: the job has ended in state", id="killed"),
        pytest.param(signal.SIGUSR2, "killed: ", id="preempted by submitit's signal"),
    ],
)
def test_a_job_that_is_taken_away_is_tried_again(
    capsys: pytest.CaptureFixture[str], number: int, said: str
) -> None:
    work = small(few("plain"), seeds=1, set=TRACE)

    def take_away() -> None:
        until(Path("epochs.txt").exists)
        for process in processes(work.store.root):
            os.kill(process, number)

    thread = threading.Thread(target=take_away)
    thread.start()
    assert not run(work, 1, HERE)
    thread.join()
    assert f"again   epochs 0 to 3 of plain,seed=0: {said}" in capsys.readouterr().out
    assert work.finished() == [0]


@pytest.mark.long
def test_a_job_that_is_stopped_is_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    work = small(few("plain"), seeds=1, set=TRACE)

    def stop() -> None:
        until(Path("epochs.txt").exists)
        for process in processes(work.store.root):
            os.kill(process, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    assert not run(work, 1, partial(HERE, patience=6.0))
    thread.join()
    assert "hung: no sign of life for 0.1 minutes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("OUT_OF_MEMORY", Cause.OUT_OF_MEMORY),
        ("TIMEOUT", Cause.KILLED),
        ("PREEMPTED", Cause.KILLED),
        ("NODE_FAIL", Cause.KILLED),
        ("CANCELLED by 1000", Cause.KILLED),
        ("CANCELLED+", Cause.KILLED),
        ("FAILED", Cause.FAILED),
        ("", Cause.KILLED),
    ],
)
def test_the_state_of_a_job_that_reports_nothing_gives_the_cause(state: str, cause: Cause) -> None:
    outcome = outcome_of_state(state, "slurmstepd: error\n")
    assert outcome.cause is cause
    assert outcome.output.startswith("slurmstepd: error\nthe job has ended in state")


def test_options_are_read_as_yaml() -> None:
    assert read_options(["partition=gpu", "timeout_min=240", "setup=[module load x]"]) == {
        "partition": "gpu",
        "timeout_min": 240,
        "setup": ["module load x"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition", "slurm: partition: set name=value"),
        ("nodes=2", "slurm: nodes=2: a segment is one process; leave it out"),
        ("setup=[", "slurm: setup=[: is not YAML"),
    ],
)
def test_options_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read_options([text])
    assert str(raised.value).startswith(message)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this machine look like a login node; `sbatch` keeps the last script it was given."""
    folder = Path("bin").absolute()
    folder.mkdir()
    for name, text in (
        ("srun", ""),
        ("sbatch", f'cp "$1" {folder}/script; echo "Submitted batch job 7"'),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.parametrize(
    ("options", "gpus", "lines"),
    [
        ({}, 0, ["--time=60", "--cpus-per-task=2", "--job-name=plasticity-lab"]),
        ({"timeout_min": 240, "partition": "gpu"}, 1, ["--time=240", "--partition=gpu"]),
        ({}, 1, ["--gpus-per-node=1"]),
        ({"gres": "shard:1", "mem_gb": 4}, 0, ["--gres=shard:1", "--mem=4GB"]),
        ({"additional_parameters": {"reservation": "r"}}, 0, ["--reservation=r"]),
    ],
)
def test_options_reach_sbatch(
    cluster: Path, options: dict[str, Any], gpus: float, lines: list[str]
) -> None:
    jobs = job_executor(Path("jobs").absolute(), options, 2, gpus)
    jobs.submit(print)
    script = (cluster / "script").read_text().splitlines()
    for line in lines:
        assert f"#SBATCH {line}" in script
    assert any(line.startswith("#SBATCH --gpus-per-node") for line in script) == bool(gpus)


@pytest.mark.parametrize(
    ("options", "gpus", "message"),
    [
        ({"partitio": "gpu"}, 0, "slurm: Unknown argument 'partitio'"),
        ({"timeout_min": "long"}, 0, 'slurm: Parameter "timeout_min" expected type'),
        ({"cluster": "moon"}, 0, "slurm: AutoExecutor doesn't know any executor named moon"),
        ({}, 0.5, "gpus: 0.5: Slurm gives whole GPUs; set 1"),
    ],
)
def test_options_that_are_none_are_refused(
    cluster: Path, options: dict[str, Any], gpus: float, message: str
) -> None:
    with pytest.raises(UserError) as raised:
        job_executor(Path("jobs").absolute(), options, 1, gpus)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_what_slurm_refuses_is_told_in_one_line(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster / "sbatch").write_text("#!/bin/sh\necho 'sbatch: invalid partition' >&2\nexit 1\n")
    monkeypatch.setattr(slurm_engine, "environment", lambda task: "")
    jobs = job_executor(Path("jobs").absolute(), {"partition": "none"}, 1, 0)
    task = Task("s", None, None, 0, 1, {}, False, 1, "place")
    with pytest.raises(UserError, match=r"slurm: sbatch: .*invalid partition.*; change --slurm"):
        slurm_engine.SlurmExecutor(jobs).submit(task)


def test_a_machine_without_slurm_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"engine: slurm: this machine has no srun; start study\.py"
    ):
        job_executor(Path("jobs").absolute(), {}, 1, 0)
    assert not Path("jobs").exists()
