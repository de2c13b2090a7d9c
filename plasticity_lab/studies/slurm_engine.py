"""Trains the segments of a study as jobs of a Slurm cluster, through submitit."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from plasticity_lab.errors import UserError
from plasticity_lab.project import find_own_classes
from plasticity_lab.studies.node_check import Expected, environment, runner_lock, train_on_node
from plasticity_lab.studies.outcome import Cause, Outcome
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import PATIENCE, Progress, Scheduler, TaskFactory
from plasticity_lab.studies.slurm_options import job_executor
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task
from plasticity_lab.studies.workers import code_on_python_path

FOLDER = ".slurm"
"""Folder in the store for what submitit writes: each job's script, task, output and outcome."""


def run(
    todo: Sequence[Segment],
    make: TaskFactory,
    store: Store,
    jobs: int,
    tell: Progress,
    patience: float = PATIENCE,
    gpus: float = 0.0,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> None:
    """Train segments on a Slurm cluster, as `scheduler.Scheduler` specifies.

    Args:
        todo: what to train.
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept; a folder that all nodes see, with locks that all nodes see.
        jobs: how many jobs are running or queued at once.
        tell: called as the training proceeds.
        patience: seconds without a sign of life after which a running job is cancelled.
        gpus: GPUs of each job, 0 or 1.
        options: parameters of the jobs by name; see `slurm_options.job_executor`.
        threads: threads of torch of each job.

    Raises:
        UserError: if submitit is not installed, this machine has no Slurm, or an option is wrong.
    """
    executor = SlurmExecutor(job_executor(store.root / FOLDER, options or {}, threads, gpus))
    with runner_lock(store) as lock:
        executor.lock = lock
        Scheduler(make, store, tell, executor, jobs, patience).train(todo)


class SlurmExecutor:
    """Trains each segment in a job.

    A job outlives a runner that is killed; the next runner waits for it, or finds its segment
    trained.

    Args:
        jobs: submits them: an executor of submitit.
        lock: name of the lock that the runner holds.
    """

    queues = True

    def __init__(self, jobs: Any, lock: str = "") -> None:
        self.jobs = jobs
        self.lock = lock

    def submit(self, task: Task) -> Any:
        """Submit a job.

        Raises:
            UserError: if Slurm refuses it.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        expected = Expected(environment(task), self.lock)
        try:
            with code_on_python_path():
                return self.jobs.submit(train_in_job, task, expected)
        except (FailedJobError, FailedSubmissionError, CalledProcessError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(
                "slurm",
                problem=f"sbatch: {reason}",
                fix="change --slurm, or use fewer --jobs",
            ) from None

    def wait(self, handles: Collection[Any], seconds: float) -> None:
        """Wait so long; a file server is not asked more often than that."""
        time.sleep(seconds)

    def poll(self, handle: Any) -> Outcome | None:
        """Return how a job has ended; None while it has not."""
        if not handle.done():
            return None
        if _result(handle).exists():
            outcome = _reported(handle)
        else:
            outcome = outcome_of_state(handle.state, handle.stderr() or "")
        _remove_files(handle)
        return outcome

    def cancel(self, handle: Any) -> None:
        """Cancel a job."""
        # It may have ended by itself, or Slurm may not answer.
        with suppress(CalledProcessError, OSError):
            handle.cancel()


def train_in_job(task: Task, expected: Expected) -> Outcome:
    """Do the work of a job, in its process."""
    find_own_classes()
    return train_on_node(task, expected)


def outcome_of_state(state: str, printed: str) -> Outcome:
    """Return the outcome of a job that has ended without reporting one.

    Args:
        state: Slurm's word for its end, such as `TIMEOUT` or `CANCELLED by 1000`.
        printed: what it printed to standard error.

    Example:
        ```python
        assert outcome_of_state("NODE_FAIL", "").cause is Cause.KILLED
        ```
    """
    word = (state.split() or ["UNKNOWN"])[0].rstrip("+")
    causes = {"OUT_OF_MEMORY": Cause.OUT_OF_MEMORY, "FAILED": Cause.FAILED}
    hint = ""
    if word == "TIMEOUT":
        hint = "; a segment needs longer: set --slurm timeout_min"
    text = f"{printed.strip()}\nthe job has ended in state {word}{hint}".strip()
    return Outcome(causes.get(word, Cause.KILLED), text)


def _reported(job: Any) -> Outcome:
    """Return what a job has reported: an outcome, or an error outside of training."""
    error = job.exception()
    if error is not None:
        return Outcome(Cause.FAILED, str(error).strip())
    outcome: Outcome = job.result()
    return outcome


def _result(job: Any) -> Path:
    """Return the file that a job's outcome is written to as the last thing it does."""
    path: Path = job.paths.result_pickle
    return path


def _remove_files(job: Any) -> None:
    for file in job.paths.folder.glob(f"{job.job_id}_*"):
        file.unlink(missing_ok=True)
