"""Trains the segments of a study on a Ray cluster: fractions of GPUs, lost nodes, many machines."""

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from plasticity_lab.command_line import errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.project import CODE
from plasticity_lab.studies import scheduler
from plasticity_lab.studies.code_hashes import CodeHashes, project_sources
from plasticity_lab.studies.environment_key import platform_key
from plasticity_lab.studies.local_engine import POLL
from plasticity_lab.studies.plan import Segment
from plasticity_lab.studies.scheduler import (
    Ended,
    Progress,
    Start,
    TaskFactory,
    already_trained,
    report_epochs,
)
from plasticity_lab.studies.segment import train_segment
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task
from plasticity_lab.studies.workers import PREEMPTED, failure_output

RETRIES = 3
"""How often a segment whose node or process was lost is trained again."""


def run(
    todo: Sequence[Segment],
    make: TaskFactory,
    store: Store,
    jobs: int,
    tell: Progress,
    address: str | None = None,
    gpus: float = 0.0,
) -> None:
    """Train segments on a Ray cluster, as `scheduler.train` specifies.

    Args:
        todo: what to train.
        make: makes the task of a segment.
        store: where states are kept; a folder that all nodes see.
        jobs: how many at once, if the cluster has room for as many.
        tell: called as the training proceeds.
        address: of the cluster; None starts one on this machine.
        gpus: share of a GPU for each segment; without any, its process sees none.

    Raises:
        UserError: if Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(
            "engine",
            value="ray",
            problem="is not installed",
            fix='pip install -e ".[ray]", or use --engine local',
        ) from None
    started_here = not ray.is_initialized()
    if started_here:
        environment = {"env_vars": {"PYTHONPATH": f"{CODE}:{Path.cwd()}"}}
        ray.init(
            address=address,
            runtime_env=environment,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        scheduler.train(todo, store, jobs, tell, RayExecutor(make, store, gpus))
    finally:
        if started_here:
            ray.shutdown()


class RayExecutor:
    """Trains each segment in a process of a Ray cluster, to which this one is connected.

    Ray itself starts a segment again whose node or process was lost. Another runner's segment is
    waited for on the node.

    Args:
        make: makes the task of a segment.
        store: where states are kept; a folder that all nodes see.
        gpus: share of a GPU for each segment.
    """

    def __init__(self, make: TaskFactory, store: Store, gpus: float) -> None:
        import ray

        self.make = make
        self.store = store
        # A fresh process for each.
        self.remote = ray.remote(num_gpus=gpus, max_retries=RETRIES, max_calls=1)(_train)
        self.working: dict[Any, Segment] = {}

    def start(self, segment: Segment) -> Start:
        """Hand a segment to the cluster."""
        task = self.make(segment, self.store.root)
        remote = self.remote.options(num_cpus=task.threads)
        self.working[remote.remote(task, str(self.store.root), _code_and_machine(task))] = segment
        return Start.STARTED

    def wait(self, epoch: Callable[[], None]) -> list[Ended]:
        """Wait for one segment to end; its epochs are known then."""
        import ray

        (finished,), _ = ray.wait(list(self.working))
        segment = self.working.pop(finished)
        try:
            ray.get(finished)
        except ray.exceptions.RayError as error:
            return [Ended(segment, str(error).strip())]
        report_epochs(segment, self.store, epoch)
        return [Ended(segment)]

    def stop(self) -> None:
        """Cancel what has not ended."""
        import ray

        for task in self.working:
            ray.cancel(task, force=True)


def _train(task: Task, root: str, expected: str) -> None:
    check_machine(expected, _code_and_machine(task))
    store = Store(Path(root))
    lock = store.lock(task.state)
    # Another runner may train it.
    while lock is None:
        time.sleep(POLL)
        lock = store.lock(task.state)
    place = store.new_workdir(task.state)
    try:
        if already_trained(task.state, task.test, store):
            return
        with (place / "log.txt").open("w") as log, redirect_stdout(log), redirect_stderr(log):
            try:
                with errors_in_one_line("train.py"):
                    train_segment(task._replace(place=str(place)))
            except SystemExit as stop:
                log.flush()
                if stop.code in PREEMPTED:
                    # The node is taken away: to Ray this is a lost worker, whose task it starts
                    # again elsewhere.
                    os._exit(int(str(stop)))
                raise RuntimeError(failure_output(place / "log.txt", 1)) from None
        store.commit(place, task.state)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        lock.release()


def _code_and_machine(task: Task) -> str:
    """Return what decides a task's numbers where it is trained, a line for each."""
    return f"{CodeHashes(project_sources())(task.config)}\n{platform_key(task.config)}"


def check_machine(expected: str, actual: str) -> None:
    """Raise RuntimeError if a node's environment is not the one that its states are named by."""
    for expected_line, actual_line in zip(expected.splitlines(), actual.splitlines(), strict=True):
        if expected_line != actual_line:
            raise RuntimeError(
                f"node {socket.gethostname()} has {actual_line}, and study.py was started on "
                f"{expected_line}: "
                "start it on a machine like the nodes, with the same code, and give --gpus where "
                "that has a GPU"
            )
