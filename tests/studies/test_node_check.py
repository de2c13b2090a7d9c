"""Which machines of a cluster may train segments."""

from pathlib import Path

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies import node_check
from plasticity_lab.studies.node_check import (
    Expected,
    check_environment,
    check_lock,
    runner_lock,
    train_on_node,
)
from plasticity_lab.studies.outcome import Cause, Outcome
from plasticity_lab.studies.store import Store
from plasticity_lab.studies.task import Task


def test_a_node_with_another_device_is_refused() -> None:
    check_environment("code\ntorch 2\ncpu", "code\ntorch 2\ncpu")
    with pytest.raises(
        UserError,
        match=r"it has cpu, and study\.py was started on H200; start study\.py on a machine like",
    ):
        check_environment("code\ntorch 2\nH200", "code\ntorch 2\ncpu")


def test_a_node_that_does_not_see_the_locks_is_refused() -> None:
    """Two folders stand for two machines whose locks are apart."""
    runner, node = Store(Path("runner")), Store(Path("node"))
    with runner_lock(runner) as name:
        check_lock(runner, name)
        with pytest.raises(UserError, match=r"its locks are not seen here.*flock"):
            check_lock(node, name)
    with pytest.raises(UserError, match=r"or study\.py has been killed"):
        check_lock(runner, name)


def test_a_node_that_is_fit_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_check, "environment", lambda task: "code\ncpu")
    monkeypatch.setattr(node_check, "train_and_store", lambda task: Outcome(Cause.TRAINED))
    store = Store(Path("store").absolute())
    task = Task("s", None, None, 0, 1, {}, False, 1, str(store.workdir("s")))
    with runner_lock(store) as name:
        assert train_on_node(task, Expected("code\ncpu", name)) == Outcome(Cause.TRAINED)
        unfit = train_on_node(task, Expected("code\nH200", name))
        assert unfit.cause is Cause.FAILED
        assert len(unfit.output.splitlines()) == 1
