"""Trains the segments of a study on a Ray cluster: fractions of GPUs, lost nodes, many machines."""

import logging
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plasticity_lab.errors import UserError
from plasticity_lab.project import CODE
from plasticity_lab.studies.node_check import Expected, environment, runner_lock, train_on_node
from plasticity_lab.studies.outcome import Cause, Outcome
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import PATIENCE, Progress, Scheduler, TaskFactory
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task


def run(
    todo: Sequence[Segment],
    make: TaskFactory,
    store: Store,
    jobs: int,
    tell: Progress,
    patience: float = PATIENCE,
    gpus: float = 0.0,
    address: str | None = None,
) -> None:
    """Train segments on a Ray cluster, as `scheduler.Scheduler` specifies.

    Args:
        todo: what to train.
        make: makes the task of a segment, given the folder it is trained in.
        store: where states are kept; a folder that all nodes see.
        jobs: how many at once, if the cluster has room for as many.
        tell: called as the training proceeds.
        patience: seconds without a sign of life after which a process is ended.
        gpus: share of a GPU for each segment; without any, its process sees none.
        address: of the cluster; None starts one on this machine.

    Raises:
        UserError: if Ray is not installed.
    """
    check_installed()
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        variables = {"env_vars": {"PYTHONPATH": f"{CODE}:{Path.cwd()}"}}
        ray.init(
            address=address,
            runtime_env=variables,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        with runner_lock(store) as lock:
            Scheduler(make, store, tell, RayExecutor(gpus, lock), jobs, patience).train(todo)
    finally:
        if started_here:
            ray.shutdown()


def check_installed() -> None:
    """Raise UserError if Ray is not installed."""
    if find_spec("ray") is None:
        raise UserError(
            "engine",
            value="ray",
            problem="is not installed",
            fix='pip install -e ".[ray]", or use --engine local',
        )


class RayExecutor:
    """Trains each segment in a fresh process of the Ray cluster that this one is connected to.

    Args:
        gpus: share of a GPU for each segment.
        lock: name of the lock that the runner holds.
    """

    queues = True

    def __init__(self, gpus: float, lock: str) -> None:
        import ray

        self.lock = lock
        # The scheduler decides what is tried again.
        self.remote = ray.remote(num_gpus=gpus, max_retries=0, max_calls=1)(train_on_node)

    def submit(self, task: Task) -> Any:
        """Hand a task to the cluster."""
        remote = self.remote.options(num_cpus=task.threads)
        return remote.remote(task, Expected(environment(task), self.lock))

    def wait(self, handles: Collection[Any], seconds: float) -> None:
        """Wait so long, or until a task has ended."""
        import ray

        ray.wait(list(handles), timeout=seconds)

    def poll(self, handle: Any) -> Outcome | None:
        """Return how a task has ended; None while it has not."""
        import ray

        ended, _ = ray.wait([handle], timeout=0)
        if not ended:
            return None
        try:
            outcome: Outcome = ray.get(handle)
        except (ray.exceptions.RayTaskError, ray.exceptions.RuntimeEnvSetupError) as error:
            return Outcome(Cause.FAILED, str(error).strip())
        except ray.exceptions.OutOfMemoryError as error:
            return Outcome(Cause.OUT_OF_MEMORY, _first_line(error))
        # A lost node, or a lost process.
        except ray.exceptions.RayError as error:
            return Outcome(Cause.KILLED, _first_line(error))
        return outcome

    def cancel(self, handle: Any) -> None:
        """Kill a task's process, or take it out of the queue."""
        import ray

        ray.cancel(handle, force=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
