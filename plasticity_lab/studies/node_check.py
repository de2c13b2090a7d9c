"""Whether a machine of a cluster may train segments of a study that was started elsewhere."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from plasticity_lab.errors import UserError
from plasticity_lab.studies.code_hashes import CodeHashes, project_sources
from plasticity_lab.studies.environment_key import platform_key
from plasticity_lab.studies.outcome import Cause, Outcome
from plasticity_lab.studies.segment_worker import train_and_store
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task


class Expected(NamedTuple):
    """What a machine has to have.

    Attributes:
        environment: what decides a task's numbers where the study was started, a line for each.
        lock: name of the lock that the runner holds while it runs.
    """

    environment: str
    lock: str


def environment(task: Task) -> str:
    """Return what decides a task's numbers on this machine, a line for each."""
    return f"{CodeHashes(project_sources())(task.config)}\n{platform_key(task.config)}"


@contextmanager
def runner_lock(store: Store) -> Iterator[str]:
    """Hold a lock that machines of a cluster must find taken; give its name."""
    name = f"runner-{secrets.token_hex(8)}"
    lock = store.lock(name)
    assert lock is not None
    try:
        yield name
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def train_on_node(task: Task, expected: Expected) -> Outcome:
    """Train and store a segment on a machine of a cluster, if it is fit for that.

    Args:
        task: the work, in a folder that this machine and the runner's see.
        expected: what this machine has to have.
    """
    try:
        check_environment(expected.environment, environment(task))
        check_lock(Store(Path(task.place).parent), expected.lock)
    except UserError as error:
        return Outcome(Cause.FAILED, str(error))
    return train_and_store(task)


def check_environment(expected: str, actual: str) -> None:
    """Raise UserError if a node's environment is not the one that its states are named by."""
    for expected_line, actual_line in zip(expected.splitlines(), actual.splitlines(), strict=True):
        if expected_line != actual_line:
            raise UserError(
                f"node {socket.gethostname()}",
                problem=f"it has {actual_line}, and study.py was started on {expected_line}",
                fix="start study.py on a machine like the nodes, with the same code, and give "
                "--gpus where that has a GPU",
            )


def check_lock(store: Store, name: str) -> None:
    """Raise UserError if a lock that the runner holds is not seen here.

    Then nothing would keep two machines from training the same segment. A runner that has been
    killed holds none either, and needs nothing to be trained.
    """
    lock = store.lock(name)
    if lock is not None:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
        raise UserError(
            f"node {socket.gethostname()}",
            value=store.root,
            problem="its locks are not seen here, or study.py has been killed",
            fix="mount the folder on all machines such that flock works between them",
        )
